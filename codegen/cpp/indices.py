"""Indices of tensor elements as C++ text, and how layout ops map a result's to the operand's.

One index of a tuple may be a *vector* index: sixteen consecutive places, of which the text names
the first. What cannot be said for sixteen places at once raises `Straddle`, which asks for the
loop to be cut there, or `NotVector`, which asks for a loop over single elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...ir.types import Dim
from ..reshape import map_reshape


class NotVector(Exception):
    """Sixteen places along the last axis are not consecutive, or not alike, in an operand."""


class Straddle(Exception):
    """Sixteen places may cross ``column`` of the loop, where the operand's place jumps."""

    def __init__(self, column: int):
        super().__init__(column)
        self.column = column


@dataclass(frozen=True)
class Index:
    """C++ text of an index whose value lies in [low, high); ``shift`` is the distance of a vector
    index from the loop's own column, None when only known at run time."""

    text: str
    low: int = 0
    high: int | None = None
    vector: bool = False
    shift: int | None = 0

    def plus(self, amount: int) -> Index:
        """The index ``amount`` further on."""
        if not amount:
            return self
        sign = "+" if amount > 0 else "-"
        high = None if self.high is None else self.high + amount
        text = f"({self.text} {sign} {abs(amount)})"
        shift = None if self.shift is None else self.shift + amount
        return Index(text, self.low + amount, high, self.vector, shift)

    def times(self, factor: int) -> Index:
        """The index times a constant."""
        if factor == 1:
            return self
        if self.vector:
            raise NotVector
        high = None if self.high is None else (self.high - 1) * factor + 1
        return Index(f"{self.text} * {factor}", self.low * factor, high)

    def piece(self, bounds: Sequence[int]) -> int | None:
        """The number of the piece between ``bounds`` that holds the index; None: known when run."""
        for number, (low, high) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            if self.low >= low and self.high is not None and self.high <= high:
                return number
        if self.vector:
            raise self.cut_at(next(b for b in bounds if self.low < b))
        return None

    def cut_at(self, place: int) -> NotVector | Straddle:
        """What to raise so that the loop is cut where this index is ``place``."""
        return NotVector() if self.shift is None else Straddle(place - self.shift)


ZERO = Index("0", 0, 1)


def linear_index(indices: Sequence[Index], sizes: Sequence[int]) -> Index:
    """The place of an element in row-major order."""
    terms, stride = [], 1
    for index, size in zip(reversed(indices), reversed(sizes), strict=True):
        if size != 1:
            terms.append(index.times(stride))
        stride *= size
    return _sum(terms)


def _sum(terms: Sequence[Index]) -> Index:
    if not terms:
        return ZERO
    if len(terms) == 1:
        return terms[0]
    low = sum(term.low for term in terms)
    high = None
    if all(term.high is not None for term in terms):
        high = sum((term.high or 0) - 1 for term in terms) + 1
    text = f"({' + '.join(term.text for term in reversed(terms))})"
    return Index(text, low, high, any(term.vector for term in terms), None)


def reshape_indices(
    indices: Sequence[Index], result: Sequence[Dim], operand: Sequence[Dim]
) -> tuple[Index, ...]:
    """Indices into a tensor of shape ``operand`` of the element at ``indices`` of its reshape."""
    return map_reshape(indices, result, operand, linear_index, _divide)


def _divide(place: Index, size: int) -> tuple[Index, Index]:
    """(place // size, place % size)."""
    if size == 1:
        return place, ZERO
    if place.high is not None and place.low // size == (place.high - 1) // size:
        whole = place.low // size
        return Index(str(whole), whole, whole + 1), place.plus(-whole * size)
    if place.vector:
        raise place.cut_at((place.low // size + 1) * size)
    high = None if place.high is None else (place.high - 1) // size + 1
    return Index(f"({place.text} / {size})", 0, high), Index(f"({place.text} % {size})", 0, size)
