"""The results of a region's kernels against those of its records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from ..codegen.tape import written_states
from ..ir.graph import Function, Value
from ..ir.ops.dtypes import to_torch
from ..ir.types import DType
from .cache import CachePages, Overlay
from .errors import MAX_OTHER_ROWS, UNITS, Error, error_of, other_rows


class Result(NamedTuple):
    """One result, three times: as kernels, records and exact records have it."""

    name: str
    found: torch.Tensor
    rounded: torch.Tensor
    exact: torch.Tensor

    @property
    def is_float(self) -> bool:
        """Whether it has a distance; whole numbers are equal or not."""
        return self.found.dtype.is_floating_point

    def rows(self, kept: torch.Tensor) -> Result:
        """Only some rows: bool[rows]."""
        return Result(self.name, self.found[kept], self.rounded[kept], self.exact[kept])


def compare(
    region: Function,
    operands: Sequence[Any],
    found: Sequence[Any],
    rounded: Sequence[Any],
    exact: Sequence[Any],
) -> Iterator[tuple[str, Error]]:
    """The error of each result by its name.

    Rows whose whole numbers are others (a router's choice, a token) are counted, and their floats
    not compared.
    """
    before = dict(zip(region.params, operands, strict=True))
    written = {value: before[param] for value, param in written_states(region).items()}
    results: list[Result] = []
    for value, *three in zip(region.results, found, rounded, exact, strict=True):
        results += _results(value, three, written.get(value))
    same, allowed = _same_rows(results), {v.name: _allowed(region, v) for v in region.results}
    for result in results:
        if result.is_float:
            rows = same.get(len(result.found))
            kept = result if rows is None else result.rows(rows)
            yield result.name, error_of(*kept[1:], *allowed.get(result.name, ()))
        else:
            other = other_rows(result.found, result.rounded).float()
            yield result.name, Error(float(other.sum()) / max(len(other), 1), 0.0, MAX_OTHER_ROWS)


def _allowed(region: Function, result: Value) -> tuple[float, float]:
    """The largest unit of what the region rounds right before a result, and the size of what that
    is a difference of.

    Sums of 32 bits of numbers of 16, made and rounded there, are as far off as these. A probability
    near one has a logarithm near zero, which is a difference of logits.
    """
    producers = region.producers()
    maker = producers.get(result)
    made = [value for value in maker.operands if value in producers] if maker else []
    dtypes = [to_torch(value.dtype) for value in made if value.dtype.is_float]
    unit = max((UNITS[dtype] for dtype in dtypes), default=0.0)
    return unit, 1.0 if maker and maker.op == "token_logprobs" else 0.0


def _same_rows(results: Sequence[Result]) -> dict[int, torch.Tensor]:
    """By the number of rows, those in which all whole numbers are as wanted."""
    same: dict[int, torch.Tensor] = {}
    for result in results:
        if not result.is_float:
            equal = ~other_rows(result.found, result.rounded)
            same[len(equal)] = same.get(len(equal), equal) & equal
    return same


def _results(value: Value, three: Sequence[Any], before: Any) -> list[Result]:
    """A cache gives the keys and values that were written, a table what of it was."""
    found, rounded, exact = three
    if value.dtype is DType.STATE:
        return _entries(value.name, found, rounded, exact)
    result = Result(value.name, found.to(rounded.device), rounded, exact)
    if before is None:
        return [result]
    before = before.to(rounded.device)
    return [result.rows(other_rows(result.found, before) | other_rows(exact, before))]


def _entries(name: str, found: CachePages, rounded: Overlay, exact: Overlay) -> list[Result]:
    """Of the tokens that were written, layer by layer."""
    results = []
    for layer, (places, written) in rounded.written.items():
        three = (found.read(layer, places), written, exact.written[layer][1])
        for kind, same in zip(("keys", "values"), zip(*three, strict=True), strict=True):
            results.append(Result(f"{kind} in {name}", *same))
    return results
