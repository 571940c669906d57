"""How a reshape maps the indices of its result to its operand's, whatever an index looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..ir.types import SYMBOLS, Dim

_SYMBOLS = dict.fromkeys(SYMBOLS, 1_000_003)
_Index = TypeVar("_Index")


def number(dim: Dim) -> int:
    """A dimension with large numbers for its symbols: enough to compare and to multiply."""
    return dim.evaluate(_SYMBOLS)


def map_reshape(
    indices: Sequence[_Index],
    result: Sequence[Dim],
    operand: Sequence[Dim],
    linear: Callable[[Sequence[_Index], Sequence[int]], _Index],
    divide: Callable[[_Index, int], tuple[_Index, _Index]],
) -> tuple[_Index, ...]:
    """Indices into a tensor of shape ``operand`` of the element at ``indices`` of its reshape.

    ``linear`` gives the place of an element in row-major order, ``divide`` quotient and remainder.
    """
    result_sizes, operand_sizes = [number(d) for d in result], [number(d) for d in operand]
    found: list[_Index] = []
    r = o = 0
    while o < len(operand_sizes):
        r_end, o_end = _group(result_sizes, operand_sizes, r, o)
        group, sizes, targets = indices[r:r_end], result_sizes[r:r_end], operand_sizes[o:o_end]
        found += group if sizes == targets else _split(linear(group, sizes), targets, divide)
        r, o = r_end, o_end
    return tuple(found)


def _group(result: Sequence[int], operand: Sequence[int], r: int, o: int) -> tuple[int, int]:
    """Ends of the shortest runs of axes, from r and o on, with equal numbers of elements."""
    if r == len(result):
        return r, len(operand)
    left, right, r, o = result[r], operand[o], r + 1, o + 1
    while left != right:
        if left < right:
            left, r = left * result[r], r + 1
        else:
            right, o = right * operand[o], o + 1
    return r, o


def _split(
    place: _Index, sizes: Sequence[int], divide: Callable[[_Index, int], tuple[_Index, _Index]]
) -> list[_Index]:
    found: list[_Index] = []
    for size in reversed(sizes[1:]):
        place, rest = divide(place, size)
        found.append(rest)
    return [place, *reversed(found)] if sizes else []
