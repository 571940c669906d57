"""What an artifact says of a step's inputs and of its caches."""

from __future__ import annotations

from collections.abc import Iterable

from ..artifact.schema import CacheGroup, Input
from ..ir.graph import Module, Value
from ..ir.ops.attention import PAGE_SIZE_TOKENS
from ..ir.types import Dim, DType, TensorType
from .program import OUTPUTS

EXTRA_INPUTS = {
    "query_start": TensorType((Dim.of("S+1"),), DType.I32),
    "context_lengths": TensorType((Dim.of("S"),), DType.I32),
}
"""Inputs the executor always fills, though no entry names them: where each sequence's tokens
begin in the step, and how many tokens it has in the cache after it."""


def inputs_of(module: Module, read: Iterable[str]) -> list[Input]:
    """Every host array that the entries take, those ``read`` by launches among them, and more."""
    types = {p.name: p.type for entry in module.entries for p in _inputs(module, entry)}
    types |= EXTRA_INPUTS
    missing = set(read) - set(types)
    assert not missing, f"no such inputs: {missing}"
    return [
        Input(name=name, dtype=str(type.dtype), bytes=_bytes(type)) for name, type in types.items()
    ]


def _inputs(module: Module, entry: str) -> list[Value]:
    made = {name for names in OUTPUTS.values() for name in names}
    params = module.functions[entry].params
    return [p for p in params if p.dtype is not DType.STATE and p.name not in made]


def _bytes(type: TensorType) -> dict[str, int]:
    """Bytes as an expression; that of a block table [S, P] is no linear one but in S * P."""
    if type.shape == (Dim.of("S"), Dim.of("P")):
        return {"SP": type.dtype.itemsize}
    return type.num_bytes().to_json()


def cache_groups(module: Module) -> list[CacheGroup]:
    """The groups of layers that share block tables, with the bytes of a page of one layer."""
    return [
        CacheGroup(
            name=name,
            layers=layers,
            page_size_tokens=PAGE_SIZE_TOKENS,
            page_bytes_per_layer=PAGE_SIZE_TOKENS * heads * (key_dim + value_dim) * dtype.itemsize,
            window=window,
        )
        for name, layers, heads, key_dim, value_dim, dtype, window in module.attrs["cache_groups"]
    ]
