"""Remove nodes and weights that nothing reads.

Before:
    module level=model
    weight @unused f32[4] = checkpoint("b")
    entry @step(%x: f32[T, 4]) {
      %a: f32[T, 4] = exp(%x)
      %b: f32[T, 4] = neg(%x)
      return %a
    }

After:
    module level=model

    entry @step(%x: f32[T, 4]) {
      %a: f32[T, 4] = exp(%x)
      return %a
    }

Requires: nothing.
Keeps: every result, and every op that writes, through the value it gives.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Module, drop_dead, map_functions


def drop_dead_nodes(module: Module) -> tuple[Module, int]:
    """Drop dead nodes of every function, then weights that no function names."""
    module, count = map_functions(module, drop_dead)
    used = _weights_in_use(module)
    dead = len(module.weights) - len(used)
    if not dead:
        return module, count
    weights = {name: weight for name, weight in module.weights.items() if name in used}
    return replace(module, weights=weights), count + dead


def _weights_in_use(module: Module) -> set[str]:
    used = set()
    for function in module.functions.values():
        for node in function.nodes:
            if node.op == "weight":
                used.add(str(node.attrs["name"]))
            if node.op == "repeat":
                used.update(name for families in node.attrs["weights"] for name in families)
    return used & set(module.weights)
