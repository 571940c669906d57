"""Kernels of a part of a region, as kernels of the whole region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...ir.graph import Function, Value
from ..cpp.cost import cost_of
from .kernel import Kernel, Operand, RegionKernels


def as_part(
    made: RegionKernels,
    part: Function,
    homes: Mapping[Value, Operand],
    suffix: str = "",
    first_workspace: int = 0,
) -> tuple[Kernel, ...]:
    """The part's kernels, its parameters and results at home where ``homes`` says, and its
    workspaces numbered from ``first_workspace`` on."""

    def home(operand: Operand) -> Operand:
        if operand.kind == "workspace":
            return Operand("workspace", int(operand.place) + first_workspace)
        values = {"param": part.params, "result": part.results}.get(operand.kind)
        return homes[values[int(operand.place)]] if values else operand

    return tuple(
        replace(
            k,
            suffix=suffix + k.suffix,
            buffers=tuple(map(home, k.buffers)),
            cost=k.cost or cost_of(part),
        )
        for k in made.kernels
    )


def homes_of(function: Function) -> dict[Value, Operand]:
    """Where the parameters and results of a region are."""
    homes = {value: Operand("param", place) for place, value in enumerate(function.params)}
    return homes | {v: Operand("result", place) for place, v in enumerate(function.results)}
