"""Ops that move elements: reshape, transpose, slice, concat, broadcast, constants and weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..types import Dim, DType, TensorType
from .base import (
    REQUIRED,
    Attrs,
    Infer,
    Kind,
    OpRecord,
    Reference,
    broadcast,
    no_flops,
    register,
)
from .dtypes import to_torch

Types = tuple[TensorType, ...]


def _infer_reshape(types: Sequence[TensorType], attrs: Attrs) -> Types:
    result = types[0].with_shape(*attrs["shape"])
    assert result.numel() == types[0].numel(), f"reshape {types[0]} to {result}"
    return (result,)


def _reshape(operands: Sequence[torch.Tensor], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    return (operands[0].reshape(tuple(int(d) for d in attrs["shape"])),)


def _infer_transpose(types: Sequence[TensorType], attrs: Attrs) -> Types:
    order = attrs["permutation"]
    assert sorted(order) == list(range(types[0].rank)), f"transpose {types[0]} by {order}"
    return (types[0].with_shape(*(types[0].shape[axis] for axis in order)),)


def _infer_slice(types: Sequence[TensorType], attrs: Attrs) -> Types:
    axis, start, stop, step = (attrs[name] for name in ("axis", "start", "stop", "step"))
    size = types[0].shape[axis]
    assert 0 <= start < stop and step >= 1, f"slice {start}:{stop}:{step}"
    assert not size.is_const or stop <= int(size), f"slice to {stop} of {types[0]}"
    shape = list(types[0].shape)
    shape[axis] = Dim((stop - start + step - 1) // step)
    return (types[0].with_shape(*shape),)


def _slice(operands: Sequence[torch.Tensor], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    index = [slice(None)] * operands[0].dim()
    index[attrs["axis"]] = slice(attrs["start"], attrs["stop"], attrs["step"])
    return (operands[0][tuple(index)],)


def _infer_concat(types: Sequence[TensorType], attrs: Attrs) -> Types:
    axis, shape = attrs["axis"], list(types[0].shape)
    for other in types[1:]:
        assert other.dtype is types[0].dtype and other.rank == types[0].rank
        shape[axis] = shape[axis] + other.shape[axis]
    return (types[0].with_shape(*shape),)


def _infer_broadcast(types: Sequence[TensorType], attrs: Attrs) -> Types:
    result = types[0].with_shape(*attrs["shape"])
    assert broadcast([types[0].shape, result.shape]) == result.shape
    return (result,)


def _infer_constant(_: Sequence[TensorType], attrs: Attrs) -> Types:
    return (TensorType.of(attrs["dtype"]),)


def _infer_weight(_: Sequence[TensorType], attrs: Attrs) -> Types:
    return (TensorType.of(attrs["dtype"], *attrs["shape"]),)


def _constant(_: Sequence[torch.Tensor], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    return (torch.tensor(attrs["value"], dtype=to_torch(attrs["dtype"])),)


def _weight(_: Sequence[torch.Tensor], __: Attrs) -> tuple[torch.Tensor, ...]:
    raise AssertionError("the interpreter binds weights itself")


def _define(
    name: str, doc: str, operands: str, infer: Infer, reference: Reference, attrs: Attrs
) -> None:
    names = tuple(operands.split())
    register(OpRecord(name, doc, Kind.LAYOUT, names, infer, reference, no_flops, attrs))


_define(
    "reshape",
    "the same elements in row-major order under ``shape``",
    "x",
    _infer_reshape,
    _reshape,
    {"shape": REQUIRED},
)
_define(
    "transpose",
    "axis j of the result is axis permutation[j] of x",
    "x",
    _infer_transpose,
    lambda x, attrs: (x[0].permute(attrs["permutation"]),),
    {"permutation": REQUIRED},
)
_define(
    "slice",
    "elements start, start+step, ... below stop of one axis",
    "x",
    _infer_slice,
    _slice,
    {"axis": REQUIRED, "start": REQUIRED, "stop": REQUIRED, "step": 1},
)
_define(
    "concat",
    "operands one after another along ``axis``",
    "xs*",
    _infer_concat,
    lambda xs, attrs: (torch.cat(list(xs), attrs["axis"]),),
    {"axis": REQUIRED},
)
_define(
    "broadcast",
    "x repeated to ``shape`` under numpy's rules",
    "x",
    _infer_broadcast,
    lambda x, attrs: (x[0].expand(tuple(int(d) for d in attrs["shape"])),),
    {"shape": REQUIRED},
)
_define(
    "constant",
    "a number, of rank 0",
    "",
    _infer_constant,
    _constant,
    {"value": REQUIRED, "dtype": DType.F32},
)
_define(
    "weight",
    "a weight of the module, by name",
    "",
    _infer_weight,
    _weight,
    {"name": REQUIRED, "dtype": REQUIRED, "shape": REQUIRED},
)
