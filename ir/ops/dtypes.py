"""Our dtypes as torch's, both ways."""

from __future__ import annotations

import torch

from ..types import DType

_TORCH = {
    DType.F32: torch.float32,
    DType.F16: torch.float16,
    DType.BF16: torch.bfloat16,
    DType.I64: torch.int64,
    DType.I32: torch.int32,
    DType.BOOL: torch.bool,
}
_OURS = {theirs: ours for ours, theirs in _TORCH.items()}


def to_torch(dtype: DType) -> torch.dtype:
    """The torch dtype of ours."""
    return _TORCH[dtype]


def from_torch(dtype: torch.dtype) -> DType:
    """Our dtype of torch's; a KeyError names one that the IR does not have."""
    return _OURS[dtype]
