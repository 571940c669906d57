"""Tasks over lists of words: copy, reverse, sort."""

from __future__ import annotations

import random

from . import words
from .example import Example, ask
from .wording import Phrasings, draw

COPY = Phrasings(
    orders=(
        "Copy this: {text}",
        "Copy this text: {text}",
        "Copy exactly: {text}",
        "Copy: {text}",
        "Copy the following: {text}",
        "Copy the following text: {text}",
        "Type this: {text}",
        "Type: {text}",
        "Write: {text}",
        "Write out: {text}",
        "Write down: {text}",
        "Print this: {text}",
        "Print: {text}",
        "Output exactly this: {text}",
        "Return exactly: {text}",
        "Give me back: {text}",
        "Reply with: {text}",
        "Respond with exactly: {text}",
        "Repeat the sentence: {text}",
        "Repeat this: {text}",
        "Repeat after me: {text}",
        "Repeat the words: {text}",
        "Repeat exactly what I write: {text}",
        "Say this: {text}",
        "Say exactly: {text}",
        "Write this again: {text}",
        "Echo: {text}",
        "Echo this line: {text}",
        "Write the following text: {text}",
        'Copy the text "{text}".',
        'Repeat "{text}".',
        'Say "{text}".',
        "Copy the next line.\n{text}",
        "Repeat the line below.\n{text}",
    ),
    questions=("{text}\nCopy this.", "{text}\nRepeat the line above.", "copy {text}"),
    unseen=("Copy these words: {text}", "Repeat the following: {text}", 'Echo "{text}".'),
)

REVERSE = Phrasings(
    orders=(
        "Reverse: {text}",
        "Reverse this: {text}",
        "Reverse the following words: {text}",
        "Reverse the following list: {text}",
        "Reverse the list: {text}",
        "Reverse the sequence: {text}",
        "Flip this list: {text}",
        "Flip the order of these words: {text}",
        "Invert the order of these words: {text}",
        "Print these words in reverse: {text}",
        "Output the words in reverse order: {text}",
        "Change the order of these words from last to first: {text}",
        "Read this list backwards: {text}",
        "Reverse this list: {text}",
        "Reverse the words: {text}",
        "Reverse these words: {text}",
        "Reverse the order of the words: {text}",
        "Reverse the word order: {text}",
        "Put these words in reverse order: {text}",
        "Write these words in reverse order: {text}",
        "Write the words backwards: {text}",
        "List these words from last to first: {text}",
        "Turn this list around: {text}",
        "Give me this list backwards: {text}",
        "Say this in reverse order: {text}",
        "Start with the last word and end with the first: {text}",
        "Reverse the words below.\n{text}",
    ),
    questions=(
        "{text}\nReverse this.",
        "{text}\nPut these words in reverse order.",
        "What is this list in reverse order? {text}",
        "reverse {text}",
    ),
    unseen=(
        "Reverse the order of these words: {text}",
        "Write this list in reverse order: {text}",
        "What are these words in reverse order? {text}",
    ),
)

SORT = Phrasings(
    orders=(
        "Sort: {text}",
        "Sort this: {text}",
        "Sort alphabetically: {text}",
        "Sort in alphabetical order: {text}",
        "Alphabetize: {text}",
        "Alphabetize this list: {text}",
        "Alphabetize these words: {text}",
        "Alphabetize the following words: {text}",
        "Order alphabetically: {text}",
        "Order this list: {text}",
        "Put this list in order: {text}",
        "Put these in order from A to Z: {text}",
        "Give me these words in alphabetical order: {text}",
        "Rank these words alphabetically: {text}",
        "Sort the words: {text}",
        "Sort these words: {text}",
        "Sort these words alphabetically: {text}",
        "Sort this list alphabetically: {text}",
        "Sort the list in alphabetical order: {text}",
        "Sort the following words: {text}",
        "Sort these words from A to Z: {text}",
        "Put these words in alphabetical order: {text}",
        "Order these words alphabetically: {text}",
        "Order the words from A to Z: {text}",
        "Arrange the words alphabetically: {text}",
        "Arrange this list in alphabetical order: {text}",
        "List these words alphabetically: {text}",
        "Write these words in alphabetical order: {text}",
        "Sort the words below.\n{text}",
    ),
    questions=(
        "{text}\nSort these words.",
        "{text}\nPut these in alphabetical order.",
        "What is the alphabetical order of these words? {text}",
        "sort {text}",
    ),
    unseen=(
        "Put the following words in alphabetical order: {text}",
        "Arrange these words from A to Z: {text}",
        "Sort this list of words: {text}",
    ),
)


def make_copy(rng: random.Random, *, unseen: bool = False) -> Example:
    """Copy a line: 1 to 8 words, names, numbers or made-up words, answered as it stands."""
    separator = rng.choice((" ", " ", ", "))
    text = separator.join(_mixed_words(rng, rng.randint(1, 8)))
    prompt = COPY.pick(rng, unseen=unseen).format(text=text)
    return Example("copy", text, ask(prompt), None, text)


def make_reverse(rng: random.Random, *, unseen: bool = False) -> Example:
    """Reverse 2 to 8 distinct words; the answer keeps their separator."""
    items = _mixed_words(rng, rng.randint(2, 8))
    return _list_task("reverse", REVERSE, items, items[::-1], rng, unseen)


def make_sort(rng: random.Random, *, unseen: bool = False) -> Example:
    """Sort 2 to 8 distinct common words; the answer keeps their separator."""
    items = rng.sample(words.WORDS, rng.randint(2, 8))
    return _list_task("sort", SORT, items, sorted(items), rng, unseen)


def _list_task(
    task: str,
    phrasings: Phrasings,
    items: list[str],
    expected: list[str],
    rng: random.Random,
    unseen: bool,
) -> Example:
    separator = rng.choice((" ", ", "))
    prompt = phrasings.pick(rng, unseen=unseen).format(text=separator.join(items))
    return Example(task, " ".join(items), ask(prompt), None, separator.join(expected))


def _mixed_words(rng: random.Random, count: int) -> list[str]:
    """Distinct words: common ones, or mixed with names, numbers and made-up words."""
    if rng.random() < 0.6:
        return rng.sample(words.WORDS, count)
    found: dict[str, None] = {}
    while len(found) < count:
        kind = rng.choice(("word", "word", "first_name", "city", "id", "made_up"))
        found[str(draw(kind, rng))] = None
    return list(found)
