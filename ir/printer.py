"""Modules as stable text; `parser.parse_module` reads it back.

module level=model {vocab_size = 32000}
weight @layer0.q bf16[512, 512] for 2 = checkpoint("h.{i}.q.weight")
entry @step(%token_ids: i32[T]) {
  %table: bf16[32000, 512] = weight() {name = "embed", ...}
  %x: bf16[T, 512] = gather_rows(%table, %token_ids)
  return %x
}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .graph import Function, Module, Node, Value
from .ops import record_of
from .types import Dim, DType
from .weights import Step, Weight


def print_attr(value: Any) -> str:
    """A literal that the parser reads back to an equal value."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Dim):
        return f"<{value}>"
    if isinstance(value, DType):
        return value.value
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(print_attr, value))}]"
    return json.dumps(value)


def _attrs(attrs: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    defaults = defaults or {}
    shown = {k: v for k, v in sorted(attrs.items()) if k not in defaults or defaults[k] != v}
    return (
        " {" + ", ".join(f"{k} = {print_attr(v)}" for k, v in shown.items()) + "}" if shown else ""
    )


def _typed(values: Iterable[Value]) -> str:
    return ", ".join(f"%{v.name}: {v.type}" for v in values)


def _names(values: Iterable[Value]) -> str:
    return ", ".join(f"%{v.name}" for v in values)


def print_node(node: Node) -> str:
    """One line: ``%y: f32[T, 8] = exp(%x)``; attributes at their defaults are left out."""
    attrs = _attrs(node.attrs, record_of(node.op).attrs)
    return f"{_typed(node.results)} = {node.op}({_names(node.operands)}){attrs}"


def print_function(function: Function, kind: str = "func") -> str:
    """A function with its body indented."""
    lines = [f"{kind} @{function.name}({_typed(function.params)}){_attrs(function.attrs)} {{"]
    lines += [f"  {print_node(node)}" for node in function.nodes]
    return "\n".join([*lines, f"  return {_names(function.results)}", "}"])


def print_step(step: Step) -> str:
    """A weight program as nested calls."""
    parts = [print_step(inner) for inner in step.inputs]
    return f"{step.op}({', '.join([*parts, *map(print_attr, step.arguments)])})"


def print_weight(weight: Weight) -> str:
    """One line: name, type, size of the family, program."""
    family = f" for {weight.count}" if weight.count is not None else ""
    return f"weight @{weight.name} {weight.type}{family} = {print_step(weight.program)}"


def print_head(module: Module) -> str:
    """What stands before the functions: level and attributes, then the weights."""
    weights = [print_weight(module.weights[name]) for name in sorted(module.weights)]
    return "\n".join([f"module level={module.level}{_attrs(module.attrs)}", *weights])


def print_module(module: Module) -> str:
    """The whole module; two equal modules give the same text."""
    parts = [print_head(module)]
    for name, function in module.functions.items():
        parts.append("")
        parts.append(print_function(function, "entry" if name in module.entries else "func"))
    return "\n".join(parts) + "\n"
