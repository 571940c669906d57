"""Ops that regions are built around: products, gathers, experts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..types import TensorType
from .base import REQUIRED, Attrs, Kind, OpRecord, compute_type, elements, no_flops, register
from .elementwise import evaluate

Types = tuple[TensorType, ...]
Tensors = tuple[torch.Tensor, ...]


def _infer_linear(types: Sequence[TensorType], _: Attrs) -> Types:
    x, weight = types[0], types[1]
    assert weight.rank == 2 and x.shape[-1] == weight.shape[1], f"linear of {x} by {weight}"
    assert x.dtype is weight.dtype, f"linear of {x} by {weight}"
    assert all(bias.shape == weight.shape[:1] for bias in types[2:])
    return (x.with_shape(*x.shape[:-1], weight.shape[0]),)


def _linear(operands: Sequence[torch.Tensor], _: Attrs) -> Tensors:
    result = torch.nn.functional.linear(*map(compute_type, operands))
    return (result.to(operands[0].dtype),)


def _linear_flops(types: Sequence[TensorType], results: Sequence[TensorType], _: Attrs) -> float:
    return 2.0 * elements(results[0]) * int(types[0].shape[-1])


def _infer_gather(types: Sequence[TensorType], _: Attrs) -> Types:
    table, rows = types
    assert rows.rank == 1 and not rows.dtype.is_float, f"rows {rows}"
    return (table.with_shape(*rows.shape, *table.shape[1:]),)


def _infer_experts(types: Sequence[TensorType], attrs: Attrs) -> Types:
    x, indices, weights, up, down = types[:5]
    assert indices.shape == weights.shape and indices.shape[0] == x.shape[0]
    assert up.shape[0] == down.shape[0] and up.shape[2] == x.shape[-1] == down.shape[1]
    assert up.shape[1] == down.shape[2] * (2 if attrs["gated"] else 1), f"{up}, {down}"
    return (x,)


def _experts(operands: Sequence[torch.Tensor], attrs: Attrs) -> Tensors:
    x, indices, weights, up, down, *bias = operands
    result = torch.zeros_like(x, dtype=torch.float32)
    for token in range(x.shape[0]):
        for slot, expert in enumerate(indices[token].tolist()):
            hidden = up[expert].float() @ x[token].float()
            hidden = hidden + bias[0][expert].float() if bias else hidden
            parts = hidden.chunk(2) if attrs["gated"] else (hidden,)
            active = evaluate(attrs["activation"], parts).to(x.dtype).float()
            out = down[expert].float() @ active
            out = out + bias[1][expert].float() if bias else out
            result[token] += weights[token, slot].float() * out
    return (result.to(x.dtype),)


def _experts_flops(types: Sequence[TensorType], _: Sequence[TensorType], __: Attrs) -> float:
    up, down, pairs = types[3], types[4], elements(types[1])
    per_pair = int(up.shape[1]) * int(up.shape[2]) + int(down.shape[1]) * int(down.shape[2])
    return 2.0 * pairs * per_pair


register(
    OpRecord(
        "linear",
        "x[.., K] times the transpose of weight[N, K], plus bias[N]: [.., N]; f32 accumulation",
        Kind.ANCHOR,
        ("x", "weight", "bias?"),
        _infer_linear,
        _linear,
        _linear_flops,
    )
)
register(
    OpRecord(
        "gather_rows",
        "rows of table[M, ..] by index rows[R]: [R, ..]; also the embedding of token ids",
        Kind.ANCHOR,
        ("table", "rows"),
        _infer_gather,
        lambda operands, _: (operands[0][operands[1].long()],),
        no_flops,
    )
)
register(
    OpRecord(
        "experts",
        "mixture of experts: for each token of x[T, H] the sum over its k experts e = indices[t, j]"
        " of weights[t, j] * (down[e] @ activation(gate_up[e] @ x + gate_up_bias[e]) +"
        " down_bias[e]); gate_up [E, 2I, H] holds gate rows, then up rows; down [E, H, I]."
        " activation is a scalar expression over a (gate) and b (up)",
        Kind.ANCHOR,
        ("x", "indices", "weights", "gate_up", "down", "gate_up_bias?", "down_bias?"),
        _infer_experts,
        _experts,
        _experts_flops,
        {"activation": REQUIRED, "gated": True},
    )
)
