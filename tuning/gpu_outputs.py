"""Compares what two kernels have written for the same inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir.types import DType

_ROW_TOLERANCES = {DType.BF16: 1e-2, DType.F16: 2e-3, DType.F32: 2e-3}
"""Of a row's norm: sums are rounded in another order, and so are numbers between two products."""
_NUMBER_TOLERANCE = 0.1  # of a row's mean size, beside what a number's own size allows
_OWN_TOLERANCE = 0.02


def difference(
    found: NDArray[np.uint8], wanted: NDArray[np.uint8], dtype: DType, is_exact: bool
) -> str | None:
    """How rows of numbers, given as bytes, differ by more than rounding; None if they do not.

    If it is to be exact, they may not differ at all.
    """
    if np.array_equal(found, wanted):
        return None
    if is_exact or dtype not in _ROW_TOLERANCES:
        return f"{int((found != wanted).sum())} of {wanted.size} bytes differ"
    a, b = (_floats(data, dtype) for data in (found, wanted))
    with np.errstate(invalid="ignore", over="ignore"):
        off = a - b
        sizes = _norms(b)
        errors = _norms(off) / np.maximum(sizes, 1e-20)
    worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
    if not errors[worst] <= _ROW_TOLERANCES[dtype]:
        return f"row {worst} of {len(errors)} is off by {errors[worst]:.2%} of its norm"
    usual = (sizes / np.sqrt(b.shape[1]))[:, None]
    is_wrong = np.abs(off, out=off) > _NUMBER_TOLERANCE * usual
    for at, column in np.argwhere(is_wrong):
        if off[at, column] > _NUMBER_TOLERANCE * usual[at, 0] + _OWN_TOLERANCE * abs(b[at, column]):
            return f"number {column} of row {at} is {a[at, column]:.4g}, not {b[at, column]:.4g}"
    return None


def is_finite(data: NDArray[np.uint8], dtype: DType) -> bool:
    """Whether rows, given as bytes, are of numbers all; whole ones always are."""
    return dtype not in _ROW_TOLERANCES or bool(np.isfinite(_floats(data, dtype)).all())


def _norms(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row."""
    norms: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return norms


def _floats(data: NDArray[np.uint8], dtype: DType) -> NDArray[np.float32]:
    if dtype is DType.BF16:
        return np.left_shift(data.view(np.uint16), 16, dtype=np.uint32).view(np.float32)
    return data.view(np.float16 if dtype is DType.F16 else np.float32).astype(np.float32)
