"""Remove layer weights that the layer does not read.

Before:
    module level=paged
    weight @layer0.q f32[8, 8] for 2 = checkpoint("h.{i}.q")

    func @layer0(%h: f32[T, 8], %q: f32[8, 8]) {
      %a: f32[T, 8] = exp(%h)
      return %a
    }

    entry @step(%h: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%h)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.q"]]}
      return %r
    }

After:
    module level=paged
    weight @layer0.q f32[8, 8] for 2 = checkpoint("h.{i}.q")

    func @layer0(%h: f32[T, 8]) {
      %a: f32[T, 8] = exp(%h)
      return %a
    }

    entry @step(%h: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%h)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [[]]}
      return %r
    }

Requires: nothing.
Keeps: the weights themselves, which `drop_dead_nodes` removes.
"""

from __future__ import annotations

from ..ir.graph import Module
from .layer_weights import drop_weight_parameters, weight_parameters


def drop_dead_parameters(module: Module) -> tuple[Module, int]:
    """Drop the unread weight parameters of every layer function."""
    count = 0
    for name in list(module.functions):
        function = module.functions[name]
        read = set(function.results) | {v for node in function.nodes for v in node.operands}
        dead = [value for value in weight_parameters(module, function) if value not in read]
        if dead:
            module = drop_weight_parameters(module, name, dead)
            count += len(dead)
    return module, count
