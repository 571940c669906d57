"""Evaluates a target's parametric sizes at the bounds of a load.

T tokens of a step, S sequences, R rows of logits, P entries of a row of a block table.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..artifact import Expression, Slot, evaluate
from .memory import round_up
from .player import Coefficients, Dims


def bytes_at(expression: Expression, dims: Dims) -> int:
    """The value of a size for T, S, R and P."""
    return evaluate(expression, dict(zip("TSRP", dims, strict=True)))


def coefficients(expression: Expression) -> Coefficients:
    """The constant, then the factors of T, S, R and P, as the player takes them."""
    constant, t, s, r, p = (expression.get(symbol, 0) for symbol in ("", "T", "S", "R", "P"))
    return constant, t, s, r, p


class ArenaLayout(NamedTuple):
    """Where each slot of the arena begins, and the bytes of all of them."""

    offsets: list[int]
    num_bytes: int


def lay_out_arena(slots: Sequence[Slot], bounds: Dims) -> ArenaLayout:
    """Slots in order, each as large as its largest tenant at the bounds.

    No size falls as a dim grows, so what is enough at the bounds is enough for each step.
    """
    offsets, end = [], 0
    for slot in slots:
        offsets.append(end)
        end += round_up(max((bytes_at(size, bounds) for size in slot.bytes), default=0))
    return ArenaLayout(offsets, end)
