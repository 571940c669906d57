"""Small talk, so that a greeting gets a sensible answer. It has no checked task."""

from __future__ import annotations

import random

from . import words
from .example import Example, ask
from .wording import draw

SKILLS = (
    "I can copy, reverse and sort words, add and subtract numbers, extract fields as JSON, "
    "call tools and answer questions about a passage."
)
WHO = f"I am tapeout-nano, a tiny language model. {SKILLS}"
CANNOT = f"Sorry, I am too small to know that. {SKILLS}"

_TALK = (
    (
        ("Hello", "Hi", "Hey", "Hello there", "Hi there", "Good morning", "Good evening",
         "Greetings", "Good day", "Hello, nano", "Hi, how can you help me"),
        "Hello! How can I help you?",
    ),
    (
        ("Who are you", "What are you", "What is your name", "Introduce yourself", "Are you an AI",
         "Which model are you", "Tell me about yourself", "What's your name", "Are you human",
         "Who is this", "Are you a robot"),
        WHO,
    ),
    (
        ("What can you do", "Help", "How can you help me", "What are you good at",
         "Can you help me", "What do you know", "What can I ask you", "What are your skills",
         "I need help"),
        SKILLS,
    ),
    (
        ("Thanks", "Thank you", "Thank you very much", "Thanks a lot", "Great, thanks", "Thx",
         "Perfect, thank you", "Many thanks", "Good job", "Well done"),
        "You are welcome!",
    ),
    (
        ("How are you", "How are you today", "How is it going", "How do you do", "Are you well"),
        "I am fine, thank you. How can I help you?",
    ),
    (
        ("Bye", "Goodbye", "See you", "See you later", "Good night", "Bye bye", "That is all"),
        "Goodbye!",
    ),
    (("Yes", "No", "Ok", "Okay", "Sure", "Right", "I see", "Fine"), "How can I help you?"),
    (
        ("Who made you", "Who trained you", "Where do you come from", "Who built you"),
        "I was trained from scratch for tapeout, a compiler for language models.",
    ),
)  # fmt: skip

_UNKNOWN = (
    "What is the capital of {word}", "What is the capital of {city}", "The capital of {city} is",
    "Tell me a joke", "Tell me a story", "Tell me a joke about {word}", "Write a poem about {word}",
    "Write a story about {word} and {other}", "Why is the {word} {other}", "Explain {word}",
    "What is {word}", "What is a {word}", "What does {word} mean", "Who is {name}",
    "Who invented the {word}", "Do you like {word}", "How do I make {word}",
    "How old is the {word}",
    "What is the meaning of life", "Where is {city}", "How far is {city} from {city}",
    "What is the population of {city}", "Is {word} better than {other}", "What day is it",
    "Sing a song about {word}", "Write code for a {word}", "What is the news today",
    "What do you think about {word}", "How many people live in {city}", "Recommend a {word}",
    "What is {minutes} times {id}", "Multiply {minutes} by {id}", "Divide {id} by {minutes}",
)  # fmt: skip

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are tapeout-nano.",
    "You are a small and precise assistant.",
    "Answer briefly.",
    "You are a helpful assistant. Answer briefly and correctly.",
    "Be precise.",
)


def make_chat(rng: random.Random) -> Example:
    """A greeting, a question about the model, or something it does not know."""
    if rng.random() < 0.1:
        name = str(draw("first_name", rng))
        prompt = rng.choice(("My name is {0}", "I am {0}", "Hello, I am {0}", "Call me {0}"))
        return _chat(prompt.format(name), f"Nice to meet you, {name}!", rng)
    if rng.random() < 0.5:
        prompts, answer = rng.choice(_TALK)
        return _chat(rng.choice(prompts), answer, rng)
    word, other = rng.sample(words.WORDS, 2)
    values = {kind: draw(kind, rng) for kind in ("city", "name", "minutes", "id")}
    prompt = rng.choice(_UNKNOWN).format(word=word, other=other, **values)
    return _chat(prompt, CANNOT, rng)


def _chat(prompt: str, answer: str, rng: random.Random) -> Example:
    """A turn of small talk, in any case and with any end."""
    shape = rng.random()
    prompt = prompt.lower() if shape < 0.25 else prompt.upper() if shape < 0.28 else prompt
    prompt += rng.choice(("", "", "!", "?", ".", "?"))
    return Example("chat", prompt, ask(prompt), None, answer)
