"""Replace every traced torch op by ops of our own.

Before:
    module level=traced

    entry @step(%x: f32[1, T, 4]) {
      %a: f32[1, T, 4] = aten.mul.Tensor(%x) {other = 2.0}
      %b: f32[1, T, 4] = aten.to.dtype(%a) {dtype = f32}
      %c: f32[1, T, 2, 2] = aten.view.default(%b) {size = [1, <T>, 2, 2]}
      return %c
    }

After:
    module level=model

    entry @step(%x: f32[1, T, 4]) {
      %a: f32[] = constant() {value = 2.0}
      %a_1: f32[1, T, 4] = mul(%x, %a)
      %c: f32[1, T, 2, 2] = reshape(%a_1) {shape = [<1>, <T>, <2>, <2>]}
      return %c
    }

Requires: nothing.
Keeps: shapes and the types of floats. Indices become i32. Nothing may mix the tokens of a step
but attention: an op along the axis of tokens is refused, as is an op without a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import UnsupportedModelError
from ..ir.graph import Module, Node, Value
from ..ir.ops.aten import PREFIX
from .aten_layout_rules import RULES
from .aten_rules import NotLoweredError
from .emit import Emitter, copy_node, rebuild

_NO_RULE = "use a model of another architecture, or give the op a rule (CONTRIBUTING.md)"
_ROUTER = "of routers, those are compiled whose experts weigh the scores that they were chosen by"
_OF_ROUTERS = ("gather", "scatter")
"""Ops that take or put numbers where others say: to limit a choice to groups, or correct it."""


def lower_aten(module: Module) -> tuple[Module, int]:
    """Lower every function; raises UnsupportedModelError naming the op and its module."""
    functions = module.functions.values()
    count = sum(node.op.startswith(PREFIX) for f in functions for node in f.nodes)
    if not count:
        return (replace(module, level="model"), 1) if module.level == "traced" else (module, 0)
    lowered = module.with_functions(*(rebuild(function, _lower) for function in functions))
    return replace(lowered, level="model"), count


def _lower(emit: Emitter, node: Node, operands: list[Value]) -> Sequence[Value]:
    if not node.op.startswith(PREFIX):
        return copy_node(emit, node, operands)
    name = node.op.split(".")[1]
    rule, place = RULES.get(name), node.origin or "model"
    if rule is None:
        made = ", ".join(f"%{value.name}: {value.type}" for value in node.results)
        router = f": {_ROUTER}" if name in _OF_ROUTERS else ""
        reason = f"{place}: {made} = {node.op} is not compiled{router}"
        raise UnsupportedModelError(reason, _NO_RULE)
    given = {name: value for name, value in node.attrs.items() if value is not None}
    try:
        values = rule(emit, replace(node, attrs=given), operands)
    except NotLoweredError as error:
        raise UnsupportedModelError(f"{place}: {node.op} {error} is not compiled") from error
    except AssertionError as error:
        raise UnsupportedModelError(f"{place}: {node.op} is not compiled here: {error}") from error
    for value in values:
        if sum(not dim.is_const for dim in value.shape) > 1:
            raise UnsupportedModelError(f"{place}: {node.op} relates all tokens with all tokens")
    return values
