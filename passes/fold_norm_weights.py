"""Multiply the weight of a norm into the linears that alone read it, once and for all.

What is left is a factor of each row, so a product may take x as it is and scale its sums.

Before:
    module level=paged
    weight @layer0.g f32[8] for 2 = checkpoint("h.{i}.g")
    weight @layer0.w f32[8, 8] for 2 = checkpoint("h.{i}.w")

    func @layer0(%h: f32[T, 8], %g: f32[8], %w: f32[8, 8]) {
      %n: f32[T, 8] = rms_norm(%h, %g) {eps = 1e-06, offset = 1.0}
      %y: f32[T, 8] = linear(%n, %w)
      %z: f32[T, 8] = linear(%y, %w)
      return %z
    }

    entry @step(%h: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%h)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.g", "layer0.w"]]}
      return %r
    }

After:
    module level=paged
    weight @layer0.g f32[8] for 2 = checkpoint("h.{i}.g")
    weight @layer0.w f32[8, 8] for 2 = checkpoint("h.{i}.w")
    weight @layer0.w.normed f32[8, 8] for 2 =
      multiply_columns(checkpoint("h.{i}.w"), checkpoint("h.{i}.g"), 1.0)

    func @layer0(%h: f32[T, 8], %g: f32[8], %w: f32[8, 8], %w_normed: f32[8, 8]) {
      %n: f32[T, 8] = rms_norm(%h) {eps = 1e-06}
      %y: f32[T, 8] = linear(%n, %w_normed)
      %z: f32[T, 8] = linear(%y, %w)
      return %z
    }

    entry @step(%h: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%h)
        {carried = 1, count = 2, pattern = ["layer0"],
         weights = [["layer0.g", "layer0.w", "layer0.w.normed"]]}
      return %r
    }

Requires: layer weights are parameters of layer functions.
Keeps: norms that something other than a linear reads; the old parameters, which
`drop_dead_parameters` removes. Norms outside of layers: their linears are tables that may be tied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Function, Module, Node, Value
from ..ir.weights import Step, Weight
from .layer_weights import add_weight, weight_parameters


def fold_norm_weights(module: Module) -> tuple[Module, int]:
    """Fold in every layer function; the count is the norms that lost their weights."""
    count = 0
    for name in list(module.functions):
        while norm := _find(module, module.functions[name]):
            module = _fold(module, name, norm)
            count += 1
    return module, count


def _find(module: Module, function: Function) -> Node | None:
    """The first norm with a weight that linears by layer weights alone read."""
    own, users = set(weight_parameters(module, function)), function.users()
    for norm in function.nodes:
        readers = users.get(norm.results[0], []) if norm.op == "rms_norm" else []
        weights = [*norm.operands[1:], *(node.operands[1] for node in readers)]
        is_read_as_x = all(n.op == "linear" and n.operands[0] == norm.result for n in readers)
        is_result = norm.results[0] in function.results
        if len(norm.operands) < 2 or not readers or not is_read_as_x or is_result:
            continue
        if own.issuperset(weights):
            return norm
    return None


def _fold(module: Module, name: str, norm: Node) -> Module:
    offset = float(norm.attrs.get("offset", 0.0))
    alone = replace(norm, operands=norm.operands[:1], attrs={"eps": norm.attrs["eps"]})
    replaced = {norm.results: alone}
    for node in module.functions[name].users()[norm.result]:
        x, weight, *bias = node.operands
        module, made = _multiplied(module, name, (weight, norm.operands[1]), offset)
        replaced[node.results] = replace(node, operands=(x, made, *bias))
    function = module.functions[name]
    nodes = tuple(replaced.get(node.results, node) for node in function.nodes)
    return module.with_functions(replace(function, nodes=nodes))


def _multiplied(
    module: Module, name: str, parts: tuple[Value, Value], offset: float
) -> tuple[Module, Value]:
    """A new parameter for the columns of the first part times the second, and its families."""

    def multiply(families: Sequence[Weight]) -> Weight:
        weight, norm = families
        program = Step("multiply_columns", (weight.program, norm.program), (offset,))
        return Weight(f"{weight.name}.normed", weight.type, program, weight.count)

    return add_weight(module, name, parts, multiply, f"{parts[0].name}_normed")
