"""Indices of tensor elements as C++ text, and how layout ops map a result's to the operand's.

One index of a tuple may be a *vector* index: sixteen consecutive places, of which the text names
the first. What cannot be said for sixteen places at once raises `Straddle`, which asks for the
loop to be cut there, or `NotVector`, which asks for a loop over single elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from ...ir.types import Dim
from .. import indices
from ..indices import divided, linear_terms, summed
from ..reshape import map_reshape


class NotVector(Exception):
    """Sixteen places along the last axis are not consecutive, or not alike, in an operand."""


class Straddle(Exception):
    """Sixteen places may cross ``column`` of the loop, where the operand's place jumps."""

    def __init__(self, column: int):
        super().__init__(column)
        self.column = column


@dataclass(frozen=True)
class Index(indices.Index):
    """C++ text of an index; ``shift`` is the distance of a vector index from the loop's own column,
    None when only known at run time."""

    vector: bool = False
    shift: int | None = 0

    def plus(self, amount: int) -> Self:
        """The index ``amount`` further on."""
        further = super().plus(amount)
        return further if self.shift is None else replace(further, shift=self.shift + amount)

    def times(self, factor: int) -> Self:
        """The index times a constant. Raises NotVector."""
        if factor != 1 and self.vector:
            raise NotVector
        return super().times(factor)

    def piece(self, bounds: Sequence[int]) -> int | None:
        """The number of the piece between ``bounds`` that holds the index; None: known when run.

        Raises NotVector or Straddle.
        """
        found = super().piece(bounds)
        if found is None and self.vector:
            raise self.cut_at(next(b for b in bounds if self.low < b))
        return found

    def cut_at(self, place: int) -> NotVector | Straddle:
        """What to raise so that the loop is cut where this index is ``place``."""
        return NotVector() if self.shift is None else Straddle(place - self.shift)


ZERO = Index("0", 0, 1)


def linear_index(places: Sequence[Index], sizes: Sequence[int]) -> Index:
    """The place of an element in row-major order."""
    terms = linear_terms(places, sizes)
    if len(terms) < 2:
        return terms[0] if terms else ZERO
    return replace(summed(terms), vector=any(term.vector for term in terms), shift=None)


def reshape_indices(
    places: Sequence[Index], result: Sequence[Dim], operand: Sequence[Dim]
) -> tuple[Index, ...]:
    """Indices into a tensor of shape ``operand`` of the element at ``places`` of its reshape."""
    return map_reshape(places, result, operand, linear_index, _divide)


def _divide(place: Index, size: int) -> tuple[Index, Index]:
    """(place // size, place % size). Raises NotVector or Straddle."""
    found = divided(place, size, ZERO, ("/", "%"))
    if place.vector and found[0].vector and size != 1:
        raise place.cut_at((place.low // size + 1) * size)
    return found
