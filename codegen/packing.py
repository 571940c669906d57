"""How weights are stored for CPU kernels, as steps at the end of their weight programs.

A matrix [.., N, K] that multiplies is stored in blocks of 16 rows, interleaved so that 64 bytes
hold one k (f32) or two (bf16) of all 16: [.., ceil(N / 16), ceil(K / k), 16, k], zeros in the
margins. Everything else is stored as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch

from ..ir.graph import Module
from ..ir.types import Dim, DType
from ..ir.weights import Step, Weight
from .calls import region_calls

BLOCK_ROWS = 16


def pack_rows16(x: torch.Tensor) -> torch.Tensor:
    """x[.., N, K] in blocks of 16 rows."""
    *lead, n, k = x.shape
    pair = 2 if x.dtype.itemsize == 2 else 1
    blocks, steps = -(-n // BLOCK_ROWS), -(-k // pair)
    if (blocks * BLOCK_ROWS, steps * pair) != (n, k):
        margin = (0, steps * pair - k, 0, blocks * BLOCK_ROWS - n)
        x = torch.nn.functional.pad(x, margin)
    x = x.reshape(*lead, blocks, BLOCK_ROWS, steps, pair)
    return x.transpose(-3, -2).contiguous()


def unpack_rows16(packed: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """x[.., N, K] of that shape, from its blocks; of x whose rows are halved, too."""
    *lead, blocks, steps, rows, pair = packed.shape
    *_, n, k = shape
    x = packed.transpose(-3, -2).reshape(*lead, blocks * rows, steps * pair)
    halves = prod(lead) // prod(shape[:-2])
    return x[..., : n // halves, :k].reshape(shape)


PACKERS = {"pack_rows16": pack_rows16}
"""The steps this target adds to weight programs."""


def packed_operands(op: str) -> tuple[int, ...]:
    """Which operands of an op are read as packed weights."""
    return {"linear": (1,), "experts": (3, 4)}.get(op, ())


def packed_weights(module: Module) -> frozenset[str]:
    """Names of the weights that some region multiplies by."""
    names: set[str] = set()
    for call in region_calls(module):
        wanted = {n.operands[p] for n in call.region.nodes for p in packed_operands(n.op)}
        names.update(
            weight
            for parameter, weight in zip(call.region.params, call.weights, strict=True)
            if parameter in wanted and weight is not None
        )
    return frozenset(names)


def pack_weights(module: Module) -> tuple[list[Weight], frozenset[str]]:
    """The weights as stored, and the names of those that are packed."""
    packed = packed_weights(module)
    halved = _gated_weights(module)
    stored = [
        _packed(w, w.name in halved) if w.name in packed else w for w in module.weights.values()
    ]
    return stored, packed


def _gated_weights(module: Module) -> frozenset[str]:
    """Weights of experts whose rows are all gates, then all ups: each half is packed alone."""
    return frozenset(
        weight
        for call in region_calls(module)
        for node in call.region.nodes
        if node.op == "experts" and node.attrs.get("gated", True)
        for weight in [call.weights[call.region.params.index(node.operands[3])]]
        if weight is not None
    )


def _packed(weight: Weight, halved: bool) -> Weight:
    *lead, n, k = (int(d) for d in weight.type.shape)
    program = weight.program
    if halved:
        lead, n = [*lead, 2], n // 2
        program = Step("reshape", (program,), ((*lead, n, k),))
    pair = 2 if weight.type.dtype in (DType.BF16, DType.F16) else 1
    shape = (*lead, -(-n // BLOCK_ROWS), -(-k // pair), BLOCK_ROWS, pair)
    type = replace(weight.type, shape=tuple(Dim(size) for size in shape))
    return replace(weight, type=type, program=Step("pack_rows16", (program,)))
