"""A region of routed experts as its kernels see it: who its operands are, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...artifact.schema import GridTerm
from ...ir.graph import Function
from ...ir.types import Dim, DType
from ..cpp.cost import NOTHING, experts_costs
from .kernel import TYPES, Kernel, Operand, pointer_type

PARAMETERS = ("p_x", "p_indices", "p_weights", "p_up", "p_down", "p_up_bias", "p_down_bias")


class ExpertRegion:
    """The one node of ``function``. ``buffers`` are the pointers that kernels may take, by name;
    ``costs`` those of the two products, by their kernels' suffixes, for rows that are the tokens'.
    """

    def __init__(self, function: Function):
        (self.node,) = function.nodes
        x, indices, _, gate_up, down, *biases = self.node.operands
        assert x.dtype is gate_up.dtype is down.dtype, f"{function.name}: {x} by {gate_up}"
        self.dtype = x.dtype
        self.has_biases = bool(biases)
        self.experts, self.hidden, self.inner = (int(dim) for dim in down.shape)
        self.num_tokens, self.k = indices.shape[0], int(indices.shape[1])
        self.num_pairs = self.num_tokens * self.k
        self.parts = int(gate_up.shape[1]) // self.inner  # of the first product: gate and up
        self.costs = dict(zip(("_up", "_down"), experts_costs(self.node), strict=True))
        self.buffers = {
            name: (Operand("param", function.params.index(value)), pointer_type(value))
            for name, value in zip(PARAMETERS, self.node.operands, strict=False)
        }
        self.buffers["o_out"] = (Operand("result", 0), pointer_type(x))

    def add_workspaces(self, types: Mapping[str, DType]) -> None:
        """Names workspaces, in order, and what lies in them."""
        for place, (name, dtype) in enumerate(types.items()):
            self.buffers[name] = (Operand("workspace", place), "*" + TYPES[dtype])

    def bias(self, name: str) -> tuple[str, ...]:
        """The name of a bias, if there is one."""
        return (name,) if name in self.buffers else ()

    def kernel(
        self,
        suffix: str,
        body: str,
        names: tuple[str, ...],
        grid: tuple[GridTerm, ...],
        scalars: tuple[Dim, ...] = (),
        **options: Any,
    ) -> Kernel:
        """A kernel that takes the buffers of those names."""
        operands, types = zip(*(self.buffers[name] for name in names), strict=True)
        cost = self.costs.get(suffix, NOTHING)
        return replace(Kernel(suffix, body, operands, types, scalars, grid, cost=cost), **options)
