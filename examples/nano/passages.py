"""Task: answer a question from a given passage."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import words
from .example import Example, ask
from .wording import Phrasings, draw, with_article


@dataclass(frozen=True)
class Relation:
    """A kind of fact about a person: how it is told, and asked for from either end."""

    kind: str
    facts: tuple[str, ...]
    ask_value: tuple[str, ...]
    ask_person: tuple[str, ...]


RELATIONS = (
    Relation(
        "city",
        (
            "{name} lives in {value}.",
            "{name} has a house in {value}.",
            "The home of {name} is {value}.",
        ),
        (
            "Where does {name} live?",
            "Which city does {name} live in?",
            "In which city does {name} live?",
            "What is the home of {name}?",
        ),
        (
            "Who lives in {value}?",
            "Who has a house in {value}?",
        ),
    ),
    Relation(
        "job",
        (
            "{name} works as {a_value}.",
            "{name} is {a_value}.",
            "The job of {name} is {value}.",
        ),
        (
            "What is the job of {name}?",
            "What is {name}'s job?",
            "What does {name} work as?",
            "What does {name} do for work?",
        ),
        (
            "Who works as {a_value}?",
            "Who is {a_value}?",
            "Who is the {value}?",
        ),
    ),
    Relation(
        "food",
        (
            "{name} likes {value}.",
            "{name} likes to eat {value}.",
            "The favorite food of {name} is {value}.",
        ),
        (
            "What does {name} like to eat?",
            "What is {name}'s favorite food?",
            "What is the favorite food of {name}?",
        ),
        (
            "Who likes {value}?",
            "Who likes to eat {value}?",
        ),
    ),
    Relation(
        "hobby",
        (
            "{name} enjoys {value}.",
            "The hobby of {name} is {value}.",
            "{name} spends the weekend {value}.",
        ),
        (
            "What is the hobby of {name}?",
            "What is {name}'s hobby?",
            "What does {name} enjoy?",
        ),
        (
            "Who enjoys {value}?",
            "Whose hobby is {value}?",
        ),
    ),
    Relation(
        "age",
        (
            "{name} is {value} years old.",
            "The age of {name} is {value}.",
            "{name} turned {value}.",
        ),
        (
            "How old is {name}?",
            "What is {name}'s age?",
            "What is the age of {name}?",
        ),
        (
            "Who is {value} years old?",
            "Who is {value}?",
        ),
    ),
    Relation(
        "thing",
        (
            "{name} owns {a_value}.",
            "{name} bought {a_value}.",
            "{name} got {a_value}.",
        ),
        (
            "What does {name} own?",
            "Which thing belongs to {name}?",
            "Which thing does {name} own?",
            "What did {name} get?",
        ),
        (
            "Who owns {a_value}?",
            "Who got {a_value}?",
            "Who is the owner of the {value}?",
        ),
    ),
    Relation(
        "animal",
        (
            "{name} has {a_value}.",
            "{name} has {a_value} as a pet.",
            "The pet of {name} is {a_value}.",
        ),
        (
            "Which animal does {name} have?",
            "What is the pet of {name}?",
            "What is {name}'s pet?",
            "Which pet has {name}?",
        ),
        (
            "Who has {a_value}?",
            "Who has {a_value} as a pet?",
            "Whose pet is {a_value}?",
        ),
    ),
    Relation(
        "day",
        (
            "{name} arrives on {value}.",
            "{name} comes on {value}.",
            "The visit of {name} is on {value}.",
        ),
        (
            "When does {name} arrive?",
            "What day does {name} arrive?",
            "On which day does {name} come?",
            "When is the visit of {name}?",
        ),
        (
            "Who arrives on {value}?",
            "Who comes on {value}?",
        ),
    ),
)

ANSWER = Phrasings(
    orders=(
        "Read the passage and answer the question.\n{text}\n{question}",
        "Read this: {text}\n{question}",
        "Read the following text and answer the question: {text} {question}",
        "Answer based on this text: {text} {question}",
        "Answer from the passage.\nPassage: {text}\nQuestion: {question}",
        "Answer the question from the text.\nText: {text}\nQuestion: {question}",
        "Use the passage to answer: {question}\n{text}",
        "Look at this text: {text} {question}",
        "Answer this question about the text: {question}\nText: {text}",
    ),
    questions=(
        "{text} {question}",
        "{text}\n{question}",
        "{text}\n\n{question}",
        "{text} Question: {question}",
        "{text}\n\nQuestion: {question}",
        "Based on the passage, answer the question.\n{text}\n{question}",
        "Given the passage below, answer: {question}\n{text}",
        "Given: {text} {question}",
        "Facts: {text}\n{question}",
        "According to this text: {text} {question}",
        "Based on this passage: {text}\n{question}",
        "Passage: {text} Question: {question}",
        "Q: {question}\nPassage: {text}\nA:",
        "Story: {text}\n{question}",
        "Passage: {text}\nQuestion: {question}",
        "Passage: {text}\n\nQuestion: {question}\nAnswer:",
        "Text: {text}\nQuestion: {question}",
        "Context: {text}\nQuestion: {question}",
        "{question}\n{text}",
        "Here is a passage: {text} {question}",
    ),
    unseen=(
        "Answer the question from the passage.\n{text}\n{question}",
        "Passage:\n{text}\n\nQuestion:\n{question}",
        "Here is a text: {text}\nQuestion: {question}",
    ),
)


def make_passage(rng: random.Random, *, unseen: bool = False) -> Example:
    """Answer with the value, or the person, that one fact of a passage names."""
    facts = _draw_facts(rng, rng.randint(2, 6))
    name, relation, value = rng.choice(facts)
    same_kind = [fact for fact in facts if fact[1] is relation]
    if rng.random() < 0.4 and [fact[2] for fact in same_kind].count(value) == 1:
        question, answer = rng.choice(relation.ask_person), name
    else:
        question, answer = rng.choice(relation.ask_value), value
    text = " ".join(_tell(rng.choice(fact[1].facts), fact[0], fact[2]) for fact in facts)
    question = _tell(question, name, value)
    prompt = ANSWER.pick(rng, unseen=unseen).format(text=text, question=question)
    return Example("passage", f"{text} {question}", ask(prompt), None, answer)


def _draw_facts(rng: random.Random, count: int) -> list[tuple[str, Relation, str]]:
    """Facts about a few people, at most one for each person and relation, in random order."""
    people = rng.sample(words.FIRST_NAMES, rng.randint(2, 5))
    relations = rng.sample(RELATIONS, rng.randint(1, 3))
    pairs = [(person, relation) for person in people for relation in relations]
    chosen = rng.sample(pairs, min(count, len(pairs)))
    return [(person, relation, str(draw(relation.kind, rng))) for person, relation in chosen]


def _tell(sentence: str, name: str, value: str) -> str:
    """Fill a fact or a question; `{a_value}` is the value with its article."""
    return sentence.format(name=name, value=value, a_value=with_article(value))
