"""Indices of tensor elements as Triton text, and how layout ops map a result's to the operand's.

An index is an integer, or a tile of integers that broadcasts with the others of its kernel. It
carries the masks under which it is in bounds: an access is masked by those of all its indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...ir.types import Dim
from ..reshape import map_reshape


@dataclass(frozen=True)
class Index:
    """Triton text of an index with values in [low, high); ``masks`` say where it is in bounds."""

    text: str
    low: int = 0
    high: int | None = None
    masks: tuple[str, ...] = ()

    def plus(self, amount: int) -> Index:
        """The index ``amount`` further on."""
        if not amount:
            return self
        sign = "+" if amount > 0 else "-"
        high = None if self.high is None else self.high + amount
        return Index(f"({self.text} {sign} {abs(amount)})", self.low + amount, high, self.masks)

    def times(self, factor: int) -> Index:
        """The index times a constant."""
        if factor == 1:
            return self
        high = None if self.high is None else (self.high - 1) * factor + 1
        return Index(f"{self.text} * {factor}", self.low * factor, high, self.masks)

    def piece(self, bounds: Sequence[int]) -> int | None:
        """The number of the piece between ``bounds`` that holds the index; None: known when run."""
        for number, (low, high) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            if self.low >= low and self.high is not None and self.high <= high:
                return number
        return None


ZERO = Index("0", 0, 1)


def masks_of(indices: Iterable[Index]) -> tuple[str, ...]:
    """The masks of all of ``indices``, each once."""
    return tuple(dict.fromkeys(mask for index in indices for mask in index.masks))


def linear_index(indices: Sequence[Index], sizes: Sequence[int]) -> Index:
    """The place of an element in row-major order."""
    terms, stride = [], 1
    for index, size in zip(reversed(indices), reversed(sizes), strict=True):
        if size != 1:
            terms.append(index.times(stride))
        stride *= size
    return _sum([term for term in reversed(terms) if term.text != "0"])


def _sum(terms: Sequence[Index]) -> Index:
    if not terms:
        return ZERO
    if len(terms) == 1:
        return terms[0]
    high = None
    if all(term.high is not None for term in terms):
        high = sum((term.high or 0) - 1 for term in terms) + 1
    text = f"({' + '.join(term.text for term in terms)})"
    return Index(text, sum(term.low for term in terms), high, masks_of(terms))


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
    high = None if place.high is None else (place.high - 1) // size + 1
    return (
        Index(f"({place.text} // {size})", 0, high, place.masks),
        Index(f"({place.text} % {size})", 0, size, place.masks),
    )
