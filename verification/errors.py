"""How far results are from the truth, and how far they may be."""

from __future__ import annotations

from typing import NamedTuple

import torch

MAX_RATIO = 1.5
"""Of an error to what the model's own type costs."""

UNITS = {torch.float32: 1e-5, torch.bfloat16: 2.0**-9, torch.float16: 2.0**-12}
"""Half of the distance of 1 to the next number; in 32 bits what the orders of long sums give."""

MAX_OTHER_ROWS = 0.02
"""The share of rows in which whole numbers may be others: of ties that fall otherwise."""


class Error(NamedTuple):
    """Distances from the truth, relative to its norm, of the worst row."""

    error: float
    rounding: float  # of the records as they are, which round as the model's type does
    limit: float

    @property
    def passed(self) -> bool:
        """Whether it is within its limit; no number is not."""
        return self.error <= self.limit


def error_of(
    found: torch.Tensor,
    rounded: torch.Tensor,
    exact: torch.Tensor,
    unit: float = 0.0,
    size: float = 0.0,
) -> Error:
    """Of floats: rows of the first axis, or all where there is no other.

    ``unit`` is that of what they are made of, if it is larger than that of their own type, and
    ``size`` how large numbers are that they are differences of.
    """
    unit = max(unit, UNITS[found.dtype])
    if not exact.numel():
        return Error(0.0, 0.0, MAX_RATIO * unit)
    rows = (len(exact), -1) if exact.ndim > 1 else (1, -1)
    exact = exact.float().reshape(rows)
    norms = exact.norm(dim=-1).clamp(min=size * exact.shape[-1] ** 0.5)
    error, rounding = (_worst_row(x.float().reshape(rows), exact, norms) for x in (found, rounded))
    return Error(error, rounding, MAX_RATIO * (rounding + unit))


def other_rows(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Which rows of whole numbers differ: bool[rows]."""
    return (found != wanted).flatten(1).any(-1) if found.ndim > 1 else found != wanted


def _worst_row(found: torch.Tensor, exact: torch.Tensor, norms: torch.Tensor) -> float:
    distances = (found - exact).norm(dim=-1)
    if not (distances.isfinite() & norms.isfinite()).all():  # equal infinities are no distance
        distances = torch.where(found == exact, 0.0, found - exact).norm(dim=-1)
        norms = exact.nan_to_num(0.0, 0.0, 0.0).norm(dim=-1)
    relative = torch.where(distances == 0, 0.0, distances / norms)
    return float(relative.nan_to_num(torch.inf, torch.inf, torch.inf).max())
