"""Indices of tensor elements as Triton text, and how layout ops map a result's to the operand's.

An index is an integer, or a tile of integers that broadcasts with the others of its kernel. It
carries the masks under which it is in bounds: an access is masked by those of all its indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...ir.types import Dim
from .. import indices
from ..indices import divided, linear_terms, summed
from ..reshape import map_reshape


@dataclass(frozen=True)
class Index(indices.Index):
    """Triton text of an index; ``masks`` say where it is in bounds."""

    masks: tuple[str, ...] = ()


ZERO = Index("0", 0, 1)


def masks_of(places: Iterable[Index]) -> tuple[str, ...]:
    """The masks of all of ``places``, each once."""
    return tuple(dict.fromkeys(mask for index in places for mask in index.masks))


def linear_index(places: Sequence[Index], sizes: Sequence[int]) -> Index:
    """The place of an element in row-major order."""
    terms = [term for term in linear_terms(places, sizes) if term.text != "0"]
    if len(terms) < 2:
        return terms[0] if terms else ZERO
    return replace(summed(terms), masks=masks_of(terms))


def reshape_indices(
    places: Sequence[Index], result: Sequence[Dim], operand: Sequence[Dim]
) -> tuple[Index, ...]:
    """Indices into a tensor of shape ``operand`` of the element at ``places`` of its reshape."""
    return map_reshape(places, result, operand, linear_index, _divide)


def _divide(place: Index, size: int) -> tuple[Index, Index]:
    """(place // size, place % size)."""
    return divided(place, size, ZERO, ("//", "%"))
