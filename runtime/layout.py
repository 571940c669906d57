"""Evaluates a target's parametric sizes at the bounds of a load.

T tokens of a step, S sequences, R rows of logits, P entries of a row of a block table; N slots for
sequences, L tokens in all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..artifact import Expression, Input, Slot, evaluate
from .memory import Bytes, round_up
from .player import Coefficients

Sizes = Mapping[str, int]  # the largest value of each symbol
_DTYPES = {"i32": np.int32, "i64": np.int64, "f32": np.float32}
_STEP_SYMBOLS = {"T", "S", "R", "SP"}


def coefficients(expression: Expression) -> Coefficients:
    """The constant, then the factors of T, S, R and P, as the player takes them."""
    constant, t, s, r, p = (expression.get(symbol, 0) for symbol in ("", "T", "S", "R", "P"))
    return constant, t, s, r, p


class Layout(NamedTuple):
    """Where each piece of a memory begins, aligned, and the bytes of all of them."""

    offsets: list[int]
    num_bytes: int


def lay_out_arena(slots: Sequence[Slot], sizes: Sizes) -> Layout:
    """Slots in order, each as large as its largest tenant at the bounds.

    No size falls as a symbol grows, so what is enough at the bounds is enough for each step.
    """
    return _lay_out([slot_bytes(slot, sizes) for slot in slots])


def slot_bytes(slot: Slot, sizes: Sizes) -> int:
    """What the largest tenant takes at the bounds."""
    return max((evaluate(expression, sizes) for expression in slot.bytes), default=0)


def lay_out_inputs(inputs: Sequence[Input], sizes: Sizes) -> Layout:
    """Input arrays in order, each at the bounds."""
    return _lay_out([evaluate(entry.bytes, sizes) for entry in inputs])


def input_views(inputs: Sequence[Input], sizes: Sizes, memory: Bytes) -> dict[str, NDArray[Any]]:
    """A flat view of each input in `memory`, which begins where they do."""
    return {
        entry.name: memory[start:][: evaluate(entry.bytes, sizes)].view(_DTYPES[entry.dtype])
        for entry, start in zip(inputs, lay_out_inputs(inputs, sizes).offsets, strict=True)
    }


def inputs_bytes(inputs: Sequence[Input], sizes: Sizes, on_device: bool) -> int:
    """Of all inputs; on a device those of a step are there twice, to be copied while one runs."""
    twice = [entry for entry in inputs if on_device and is_of_step(entry)]
    return lay_out_inputs(inputs, sizes).num_bytes + lay_out_inputs(twice, sizes).num_bytes


def is_of_step(entry: Input) -> bool:
    """Whether each step brings the input anew; others are tables of the slots, which last."""
    return bool(_STEP_SYMBOLS & set(entry.bytes))


def _lay_out(pieces: Sequence[int]) -> Layout:
    offsets, end = [], 0
    for num_bytes in pieces:
        offsets.append(end)
        end += round_up(num_bytes)
    return Layout(offsets, end)
