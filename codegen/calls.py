"""Walks the calls of regions in a module: in every function once, or unrolled as a step runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ir.graph import Function, Module, Value


@dataclass(frozen=True)
class Call:
    """A region and, for each of its parameters, the weight or family of weights bound to it."""

    region: Function
    weights: tuple[str | None, ...]


def region_calls(module: Module) -> Iterator[Call]:
    """Each call once, with the weights' own names: those of a repeated layer are families."""
    for entry in module.entries:
        yield from _calls(module, module.functions[entry], {})


def _calls(module: Module, function: Function, weights: dict[Value, str]) -> Iterator[Call]:
    weights = dict(weights)
    for node in function.nodes:
        if node.op == "weight":
            weights[node.result] = str(node.attrs["name"])
        elif node.op == "region":
            region = module.functions[node.attrs["function"]]
            yield Call(region, tuple(weights.get(value) for value in node.operands))
        elif node.op == "repeat":
            pairs = zip(node.attrs["pattern"], node.attrs["weights"], strict=True)
            for name, families in dict.fromkeys(pairs):
                layer = module.functions[name]
                shared = [weights.get(value) for value in node.operands]
                bound = zip(layer.params, [*shared, *families], strict=True)
                yield from _calls(module, layer, {p: w for p, w in bound if w is not None})
        else:
            raise AssertionError(f"{node.op} outside of a region")
