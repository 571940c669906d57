"""Evaluates a target's parametric sizes: its expressions are linear in T, S, R and P.

T tokens of a step, S sequences, R rows of logits, P entries of a row of a block table.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .memory import round_up
from .player import Coefficients, Dims

Expression = Mapping[str, int]  # {"": constant, "T": coefficient, ...}, zero terms left out

_TERMS = ("", "T", "S", "R", "P")


def coefficients(expression: Expression) -> Coefficients:
    """The constant, then the factors of T, S, R and P."""
    unknown = set(expression) - set(_TERMS)
    assert not unknown, f"an expression has terms {sorted(unknown)}, known are {_TERMS}"
    constant, t, s, r, p = (expression.get(term, 0) for term in _TERMS)
    return constant, t, s, r, p


def evaluate(expression: Expression, dims: Dims) -> int:
    """The value for a step's T, S, R and P."""
    constant, *factors = coefficients(expression)
    return constant + sum(factor * dim for factor, dim in zip(factors, dims, strict=True))


class ArenaLayout(NamedTuple):
    """Where each slot of the arena begins, and the bytes of all of them."""

    offsets: list[int]
    num_bytes: int


def lay_out_arena(slots: Sequence[Sequence[Expression]], bounds: Dims) -> ArenaLayout:
    """Slots in order, each as large as its largest tenant at the bounds of the load.

    No expression falls as a dim grows, so what is enough at the bounds is enough for each step.
    """
    offsets, end = [], 0
    for expressions in slots:
        offsets.append(end)
        end += round_up(max(evaluate(expression, bounds) for expression in expressions))
    return ArenaLayout(offsets, end)
