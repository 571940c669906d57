"""How a request is worded: phrasings, small noise, and values to fill in."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass

from . import words

Values = dict[str, str | int]

POLITE = ("Please ", "Can you ", "Could you ", "Could you please ", "Now ", "I need you to ")

_LISTS: dict[str, Sequence[str]] = {
    "word": words.WORDS,
    "first_name": words.FIRST_NAMES,
    "city": words.CITIES,
    "job": words.JOBS,
    "color": words.COLORS,
    "day": words.DAYS,
    "month": words.MONTHS,
    "event": words.EVENTS,
    "place": words.PLACES,
    "room": words.ROOMS,
    "language": words.LANGUAGES,
    "currency": words.CURRENCIES,
    "hobby": words.HOBBIES,
    "goods": words.GOODS,
    "thing": words.THINGS,
    "food": words.FOODS,
    "animal": words.ANIMALS,
}
_RANGES = {
    "age": (18, 90),
    "minutes": (1, 90),
    "count": (1, 20),
    "price": (2, 999),
    "id": (100, 9999),
}


@dataclass(frozen=True)
class Phrasings:
    """The ways to ask for one thing, as format strings.

    `orders` start with an imperative and may be made polite; `questions` are used as they are.
    `unseen` ones never occur in training: they measure how far the wording may drift.
    """

    orders: tuple[str, ...]
    questions: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    def pick(self, rng: random.Random, *, unseen: bool = False) -> str:
        """One format string; of the unseen ones if asked for."""
        if unseen and self.unseen:
            return rng.choice(self.unseen)
        chosen = rng.randrange(len(self.orders) + len(self.questions))
        if chosen >= len(self.orders):
            return roughen(self.questions[chosen - len(self.orders)], rng)
        order = self.orders[chosen]
        if rng.random() < 0.4:
            order = rng.choice(POLITE) + order[0].lower() + order[1:]
        return roughen(order, rng)


def roughen(phrasing: str, rng: random.Random) -> str:
    """Now and then begin in lower case, or leave out the last full stop or question mark."""
    if rng.random() < 0.08:
        phrasing = phrasing[0].lower() + phrasing[1:]
    if rng.random() < 0.08 and phrasing[-1] in ".?":
        phrasing = phrasing[:-1]
    return phrasing


def draw(kind: str, rng: random.Random) -> str | int:
    """A value of one kind: an int for ages, counts and the like, else a string."""
    if kind in _RANGES:
        return rng.randint(*_RANGES[kind])
    if kind in _LISTS:
        return rng.choice(_LISTS[kind])
    return _COMPOSED[kind](rng)


def draw_different(kinds: dict[str, str], rng: random.Random) -> Values:
    """A value for each name, by its kind; no two are equal."""
    while True:
        values = {name: draw(kind, rng) for name, kind in kinds.items()}
        if len(set(values.values())) == len(values):
            return values


def is_integer(kind: str) -> bool:
    """Whether values of this kind are ints."""
    return kind in _RANGES


def with_article(noun: str) -> str:
    """`nurse` -> `a nurse`, `artist` -> `an artist`."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def join_names(names: Sequence[str], rng: random.Random) -> str:
    """`a, b and c` or `a, b, c`."""
    if len(names) == 1 or rng.random() < 0.3:
        return ", ".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _full_name(rng: random.Random) -> str:
    first = rng.choice(words.FIRST_NAMES)
    return first if rng.random() < 0.4 else f"{first} {rng.choice(words.LAST_NAMES)}"


def _clock(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"
    return f"{rng.randint(0, 23):02d}:{rng.choice((0, 0, 15, 30, 45, rng.randint(0, 59))):02d}"


def _email(rng: random.Random) -> str:
    first, last = rng.choice(words.FIRST_NAMES), rng.choice(words.LAST_NAMES)
    host = rng.choice(("example.com", "mail.net", "post.org"))
    return rng.choice((f"{first}.{last}@{host}", f"{first}@{host}", f"{last}@{host}")).lower()


def _phone(rng: random.Random) -> str:
    return f"{rng.randint(200, 999)}-{rng.randint(0, 9999):04d}"


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 3)))
    return f"{letters}{rng.randint(10, 999)}"


def _phrase(rng: random.Random) -> str:
    return " ".join(rng.sample(words.WORDS, rng.randint(1, 4)))


def _made_up(rng: random.Random) -> str:
    return "".join(rng.choices(words.SYLLABLES, k=rng.randint(2, 3)))


_COMPOSED = {
    "name": _full_name,
    "time": _clock,
    "email": _email,
    "phone": _phone,
    "code": _code,
    "phrase": _phrase,
    "made_up": _made_up,
}
