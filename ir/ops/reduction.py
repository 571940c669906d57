"""Ops over the last axis or one axis: sums, means, maxima, softmax, top-k, norms, rotation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..types import Dim, DType, TensorType
from .base import (
    REQUIRED,
    Attrs,
    Infer,
    Kind,
    OpRecord,
    Reference,
    compute_type,
    flops_per_operand,
    register,
)

Types = tuple[TensorType, ...]
Tensors = tuple[torch.Tensor, ...]


def _infer_reduce(types: Sequence[TensorType], attrs: Attrs) -> Types:
    shape = list(types[0].shape)
    shape[attrs["axis"]] = Dim(1)
    return (types[0].with_shape(*shape),)


def _same(types: Sequence[TensorType], _: Attrs) -> Types:
    return (types[0],)


def _reduce(function: Any) -> Reference:
    def reference(x: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
        return (function(compute_type(x[0]), attrs["axis"]).to(x[0].dtype),)

    return reference


def _infer_topk(types: Sequence[TensorType], attrs: Attrs) -> Types:
    shape = (*types[0].shape[:-1], Dim(attrs["k"]))
    assert attrs["k"] <= int(types[0].shape[-1]), f"top {attrs['k']} of {types[0]}"
    return (types[0].with_shape(*shape), TensorType(shape, DType.I32))


def _topk(x: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
    order = torch.sort(x[0], dim=-1, descending=True, stable=True)
    return order.values[..., : attrs["k"]], order.indices[..., : attrs["k"]].int()


def _infer_norm(types: Sequence[TensorType], _: Attrs) -> Types:
    for parameter in types[1:]:
        assert parameter.shape == types[0].shape[-1:], f"norm of {types[0]} by {parameter}"
    return (types[0],)


def _rms_norm(operands: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
    x, *weight = map(compute_type, operands)
    normal = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + attrs["eps"])
    factor = attrs["offset"] + weight[0] if weight else 1.0
    return ((normal * factor).to(operands[0].dtype),)


def _layer_norm(operands: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
    x, weight, bias, *_ = [*map(compute_type, operands), None, None]
    assert x is not None
    result = torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, attrs["eps"])
    return (result.to(operands[0].dtype),)


def _infer_rope(types: Sequence[TensorType], attrs: Attrs) -> Types:
    x, cos, sin = types
    assert attrs["style"] in ("half", "interleaved"), f"rope style {attrs['style']}"
    assert cos.shape == sin.shape and x.rank == 3 and cos.rank == 2, f"rope of {x} by {cos}"
    assert cos.shape[0] == x.shape[0] and 2 * int(cos.shape[1]) <= int(x.shape[2])
    return (x,)


def _rope(operands: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
    x, cos, sin = map(compute_type, operands)
    half, cos, sin = cos.shape[-1], cos.unsqueeze(1), sin.unsqueeze(1)
    rotary, rest = x[..., : 2 * half], x[..., 2 * half :]
    if attrs["style"] == "half":
        a, b = rotary[..., :half], rotary[..., half:]
        turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    else:
        a, b = rotary[..., ::2], rotary[..., 1::2]
        turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    return (torch.cat([turned, rest], -1).to(operands[0].dtype),)


def _define(
    name: str,
    doc: str,
    kind: Kind,
    operands: str,
    infer: Infer,
    reference: Reference,
    flops: float,
    **attrs: object,
) -> None:
    cost = flops_per_operand(flops)
    register(OpRecord(name, doc, kind, tuple(operands.split()), infer, reference, cost, attrs))


for _name, _function in {
    "reduce_sum": lambda x, axis: x.sum(axis, keepdim=True),
    "reduce_mean": lambda x, axis: x.mean(axis, keepdim=True),
    "reduce_max": lambda x, axis: x.amax(axis, keepdim=True),
}.items():
    _define(
        _name,
        f"{_name[7:]} over one axis, kept with size 1; accumulated in f32",
        Kind.REDUCTION,
        "x",
        _infer_reduce,
        _reduce(_function),
        1,
        axis=REQUIRED,
    )
_define(
    "softmax",
    "exp(x - max x) over its sum along the last axis, in f32",
    Kind.ROW,
    "x",
    _same,
    lambda x, _: (torch.softmax(compute_type(x[0]), -1).to(x[0].dtype),),
    5,
)
_define(
    "topk",
    "the k largest of the last axis in falling order and their i32 places; ties: lowest place",
    Kind.ROW,
    "x",
    _infer_topk,
    _topk,
    4,
    k=REQUIRED,
)
_define(
    "rms_norm",
    "x * rsqrt(mean(x^2) + eps) * (offset + weight) along the last axis [.., n], weight [n]; "
    "without a weight the last factor is 1",
    Kind.ROW,
    "x weight?",
    _infer_norm,
    _rms_norm,
    4,
    eps=REQUIRED,
    offset=0.0,
)
_define(
    "layer_norm",
    "(x - mean x) * rsqrt(var x + eps) * weight + bias along the last axis [.., n]",
    Kind.ROW,
    "x weight? bias?",
    _infer_norm,
    _layer_norm,
    7,
    eps=REQUIRED,
)
_define(
    "rope",
    "rotary embedding of x[T, H, D] by cos and sin [T, Dr/2]: pairs (j, j + Dr/2) for style "
    "half, (2j, 2j + 1) for interleaved, are turned; elements from Dr on pass",
    Kind.ROW,
    "x cos sin",
    _infer_rope,
    _rope,
    3,
    style="half",
)
