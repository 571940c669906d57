"""Compute once what is computed twice: same op, operands and attributes.

Before:
    module level=model

    entry @step(%x: f32[T, 4]) {
      %a: f32[T, 4] = exp(%x)
      %b: f32[T, 4] = exp(%x)
      %c: f32[T, 4] = add(%a, %b)
      return %c
    }

After:
    module level=model

    entry @step(%x: f32[T, 4]) {
      %a: f32[T, 4] = exp(%x)
      %c: f32[T, 4] = add(%a, %a)
      return %c
    }

Requires: nothing.
Keeps: the order of nodes; ops that write in place or call functions are left alone.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Function, Module, Node, Value, map_functions
from ..ir.ops import Kind, record_of
from ..ir.printer import print_attr


def merge_common_nodes(module: Module) -> tuple[Module, int]:
    """Merge within each function."""
    return map_functions(module, _merge)


def _merge(function: Function) -> tuple[Function, int]:
    first: dict[object, Node] = {}
    same: dict[Value, Value] = {}
    nodes = []
    for node in function.nodes:
        node = replace(node, operands=tuple(same.get(v, v) for v in node.operands))
        twin = first.setdefault(_key(node), node) if _is_pure(node) else node
        if twin is node:
            nodes.append(node)
        else:
            same |= dict(zip(node.results, twin.results, strict=True))
    results = tuple(same.get(v, v) for v in function.results)
    return (
        (replace(function, nodes=tuple(nodes), results=results), len(same))
        if same
        else (
            function,
            0,
        )
    )


def _is_pure(node: Node) -> bool:
    record = record_of(node.op)
    return not record.writes and record.kind is not Kind.CONTROL


def _key(node: Node) -> object:
    attrs = record_of(node.op).complete(node.attrs)
    return node.op, node.operands, tuple((k, print_attr(v)) for k, v in sorted(attrs.items()))
