"""Where a step's inputs are: staged in one block of pinned memory, copied as one.

Inputs are of three kinds. Those of a *step* have a size of its T, S or R; they lie one after
another at the start, laid out for the bucket at hand, so that one copy brings just what the step
has. The *settings* are columns with an entry for each slot, copied together when some sequence
arrives. What is left, *rows*, is large and copied row by row: the token table, edits and masks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...artifact import Input
from ..layout import Layout, Sizes, input_views, is_of_step, lay_out_inputs
from ..memory import Bytes

_COLUMN_BYTES = 8  # an entry of a column at most


class InputKinds(NamedTuple):
    """A target's inputs by kind. The widest of a step's, the block tables, come last."""

    step: list[Input]
    settings: list[Input]
    rows: list[Input]


def sort_inputs(inputs: Sequence[Input]) -> InputKinds:
    """The inputs by kind, each in the target's order."""
    step = [entry for entry in inputs if is_of_step(entry)]
    others = [entry for entry in inputs if entry not in step]
    settings = [e for e in others if set(e.bytes) == {"N"} and e.bytes["N"] <= _COLUMN_BYTES]
    rows = [entry for entry in others if entry not in settings]
    return InputKinds(sorted(step, key=lambda e: "SP" in e.bytes), settings, rows)


class InputBlock:
    """Some inputs, one after another, at given sizes."""

    def __init__(self, inputs: Sequence[Input], sizes: Sizes) -> None:
        self._inputs, self._sizes = inputs, sizes
        self._layout: Layout = lay_out_inputs(inputs, sizes)

    @property
    def num_bytes(self) -> int:
        """Of all of them."""
        return self._layout.num_bytes

    def offsets(self) -> dict[str, int]:
        """Where each input begins."""
        names = (entry.name for entry in self._inputs)
        return dict(zip(names, self._layout.offsets, strict=True))

    def views(self, memory: Bytes) -> dict[str, NDArray[Any]]:
        """A flat view of each input in `memory`, which begins where the block does."""
        return input_views(self._inputs, self._sizes, memory)


def addresses_of(base: int, offsets: Mapping[str, int]) -> dict[str, int]:
    """The address of each input of a block that begins at `base`."""
    return {name: base + offset for name, offset in offsets.items()}


# What a row beyond the step's own holds: nothing is read, computed or written for it.
_PADDING = {"positions": -1, "sample_places": -1, "targets": -1}


def fill(array: NDArray[Any], name: str, values: NDArray[Any]) -> None:
    """Copies a step's values to the front of an input and pads what is behind them."""
    count = len(values)
    array[:count] = values
    if count == len(array):
        return
    if name == "query_start":  # each row of padding is a sequence of one token
        array[count:] = np.arange(count, len(array))
    else:
        array[count:] = _PADDING.get(name, 0)
