"""Tasks over whole numbers of one to four digits: add, subtract."""

from __future__ import annotations

import random

from .example import Example, ask
from .wording import Phrasings, draw

ADD = Phrasings(
    orders=(
        "Add {a} and {b}.",
        "Add {b} to {a}.",
        "Add the numbers {a} and {b}.",
        "Add together {a} and {b}.",
        "Add up {a} and {b}.",
        "Sum {a} and {b}.",
        "Sum up {a} and {b}.",
        "Solve {a} + {b}.",
        "Evaluate {a} + {b}.",
        "Give me the sum of {a} and {b}.",
        "Calculate {a} + {b}.",
        "Calculate {a} plus {b}.",
        "Compute {a} + {b}.",
        "Compute the sum of {a} and {b}.",
        "Find the sum of {a} and {b}.",
        "Tell me what {a} + {b} is.",
        "Work out {a} + {b}.",
    ),
    questions=(
        "{a} + {b}",
        "{a}+{b}",
        "{a} + {b} =",
        "{a}+{b}=",
        "{a} + {b} = ?",
        "{a} + {b}?",
        "{a} plus {b}",
        "{a} and {b} added together?",
        "{a} added to {b}",
        "sum of {a} and {b}",
        "Sum: {a}, {b}",
        "What does {a} + {b} equal?",
        "What does {a} plus {b} equal?",
        "What is the total of {a} and {b}?",
        "What is the result of {a} + {b}?",
        "What do {a} and {b} add up to?",
        "What do {a} and {b} make?",
        "If I add {a} and {b}, what do I get?",
        "If you add {b} to {a}, what is the result?",
        "What is {a} and {b} together?",
        "What number is {a} + {b}?",
        "I have {a} {goods} and buy {b} more. How many {goods} do I have?",
        "What is {a} + {b}?",
        "What is {a}+{b}?",
        "What is {a} plus {b}?",
        "What's {a} + {b}?",
        "What is the sum of {a} and {b}?",
        "What do you get if you add {a} and {b}?",
        "How much is {a} + {b}?",
        "How much is {a} plus {b}?",
        "{name} has {a} {goods} and gets {b} more. How many {goods} does {name} have now?",
        "There are {a} {goods} in a box and {b} in a bag. How many {goods} are there in total?",
    ),
    unseen=(
        "Calculate the sum of {a} and {b}.",
        "What's {a} plus {b}?",
        "How much do {a} and {b} make together?",
    ),
)

SUBTRACT = Phrasings(
    orders=(
        "Subtract {b} from {a}.",
        "Take {b} away from {a}.",
        "Take {b} from {a}.",
        "Deduct {b} from {a}.",
        "Remove {b} from {a}.",
        "Solve {a} - {b}.",
        "Evaluate {a} - {b}.",
        "Compute the difference {a} - {b}.",
        "Find the difference between {a} and {b}.",
        "Give me {a} minus {b}.",
        "Calculate {a} - {b}.",
        "Calculate {a} minus {b}.",
        "Compute {a} - {b}.",
        "Compute {a} minus {b}.",
        "Find {a} - {b}.",
        "Tell me what {a} - {b} is.",
        "Work out {a} - {b}.",
    ),
    questions=(
        "{a} - {b}",
        "{a}-{b}",
        "{a} - {b} =",
        "{a}-{b}=",
        "{a} - {b} = ?",
        "{a} - {b}?",
        "{a} minus {b}",
        "{a} less {b}",
        "difference of {a} and {b}",
        "What does {a} - {b} equal?",
        "What does {a} minus {b} equal?",
        "What is the difference between {a} and {b}?",
        "What is the difference of {a} and {b}?",
        "What is the result of {a} - {b}?",
        "If I subtract {b} from {a}, what do I get?",
        "If you take {b} from {a}, what is left?",
        "What number is {a} - {b}?",
        "How much is left if I take {b} from {a}?",
        "{name} has {a} {goods} and gives away {b}. How many {goods} are left?",
        "I had {a} {goods} and sold {b}. How many {goods} do I have now?",
        "What is {a} - {b}?",
        "What is {a}-{b}?",
        "What is {a} minus {b}?",
        "What's {a} - {b}?",
        "What do you get if you subtract {b} from {a}?",
        "How much is {a} - {b}?",
        "How much is {a} minus {b}?",
        "What is left if you take {b} from {a}?",
    ),
    unseen=(
        "Work out {a} minus {b}.",
        "What's {a} minus {b}?",
        "What is {a} take away {b}?",
    ),
)

_NEGATIVE_SHARE = 0.15
"""How often a difference is allowed to fall under zero."""


def make_add(rng: random.Random, *, unseen: bool = False) -> Example:
    """Add two numbers of 0 to 9999, answered as `12 + 30 = 42`."""
    a, b = _number(rng), _number(rng)
    prompt = _ask(ADD, a, b, rng, unseen)
    key = f"{min(a, b)}+{max(a, b)}"
    return Example("add", key, ask(prompt), None, f"{a} + {b} = {a + b}")


def make_subtract(rng: random.Random, *, unseen: bool = False) -> Example:
    """Subtract two numbers of 0 to 9999, answered as `42 - 12 = 30`; some results are negative."""
    a, b = _number(rng), _number(rng)
    if a < b and rng.random() > _NEGATIVE_SHARE:
        a, b = b, a
    prompt = _ask(SUBTRACT, a, b, rng, unseen)
    return Example("subtract", f"{a}-{b}", ask(prompt), None, f"{a} - {b} = {a - b}")


def _number(rng: random.Random) -> int:
    """Each count of digits is equally likely."""
    digits = rng.randint(1, 4)
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def _ask(phrasings: Phrasings, a: int, b: int, rng: random.Random, unseen: bool) -> str:
    """The request for a pair of numbers, in one phrasing."""
    phrasing = phrasings.pick(rng, unseen=unseen)
    return phrasing.format(a=a, b=b, name=draw("first_name", rng), goods=draw("goods", rng))
