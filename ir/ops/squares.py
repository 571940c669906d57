"""Ops of a norm in two halves: squares are added up where rows are made, and used where they are
read."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..types import DType, TensorType
from .base import REQUIRED, Attrs, Kind, OpRecord, flops_per_operand, register

Types = tuple[TensorType, ...]
Tensors = tuple[torch.Tensor, ...]


def _infer_sums(types: Sequence[TensorType], attrs: Attrs) -> Types:
    x = types[0]
    assert x.dtype.is_float and attrs["width"] > 0, f"squares of {x} by {attrs['width']} columns"
    num_parts = -(-int(x.shape[-1]) // attrs["width"])
    return (TensorType.of(DType.F32, *x.shape[:-1], num_parts),)


def _sums(operands: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
    parts = operands[0].float().pow(2).split(attrs["width"], dim=-1)
    return (torch.stack([part.sum(-1) for part in parts], dim=-1),)


def _infer_norm(types: Sequence[TensorType], _: Attrs) -> Types:
    x, squares = types
    is_of_rows = squares.shape[:-1] == x.shape[:-1] and squares.dtype is DType.F32
    assert is_of_rows, f"norm of {x} by squares {squares}"
    return (x,)


def _norm(operands: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
    x, squares = operands
    mean = squares.sum(-1, keepdim=True) / x.shape[-1]
    return ((x.float() * torch.rsqrt(mean + attrs["eps"])).to(x.dtype),)


register(
    OpRecord(
        "sum_squares",
        "x * x of x[.., N] added up over parts of ``width`` columns, the last one as narrow as it"
        " comes: f32[.., ceil(N / width)]",
        Kind.ROW,
        ("x",),
        _infer_sums,
        _sums,
        flops_per_operand(2),
        {"width": REQUIRED},
    )
)
register(
    OpRecord(
        "norm_by_squares",
        "rms_norm without a weight of x[.., N] whose squares are there, in parts f32[.., P]:"
        " x * rsqrt(sum of the parts / N + eps)",
        Kind.ROW,
        ("x", "squares"),
        _infer_norm,
        _norm,
        flops_per_operand(1),
        {"eps": REQUIRED},
    )
)
