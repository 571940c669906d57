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

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..ir.graph import Function, Module, Node, Value, context_of
from ..ir.weights import Step, Weight
from .base import Miss, Obstacle, made_by
from .layer_weights import add_weight, weight_parameters


def fold_norm_weights(module: Module) -> tuple[Module, int]:
    """Fold in every layer function; the count is the norms that lost their weights."""
    count = 0
    for name in list(module.functions):
        while norm := _find(module, module.functions[name]):
            module = _fold(module, name, norm)
            count += 1
    return module, count


def missed_norm_weights(module: Module) -> Iterator[Miss]:
    """Norms of layers that kept their weights although a linear multiplies by them."""
    for function in module.functions.values():
        for norm in _candidates(module, function):
            if obstacle := _obstacle(norm, module, function):
                yield Miss.at(function, norm, obstacle)


def _find(module: Module, function: Function) -> Node | None:
    """The first norm with a weight that linears by layer weights alone read."""
    candidates = _candidates(module, function)
    return next((norm for norm in candidates if not _obstacle(norm, module, function)), None)


def _candidates(module: Module, function: Function) -> list[Node]:
    """Norms of a layer with a weight, which some linear takes."""
    if not weight_parameters(module, function):
        return []
    taken = {node.operands[0] for node in function.nodes if node.op == "linear"}
    norms = [node for node in function.nodes if node.op == "rms_norm" and len(node.operands) > 1]
    return [norm for norm in norms if norm.result in taken]


def _obstacle(norm: Node, module: Module, function: Function) -> Obstacle | None:
    readers = function.users()[norm.result]
    others = [n.op for n in readers if n.op != "linear" or norm.result in n.operands[1:]]
    others += ["return"] * (norm.result in function.results)
    if others:
        return Obstacle("linears alone read the norm", f"read by {', '.join(others)}")
    own = weight_parameters(module, function)
    weights = [*norm.operands[1:], *(node.operands[1] for node in readers)]
    made = [value for value in weights if value not in own]
    if made:
        return Obstacle("the weights are the layer's own", made_by(made[0], context_of(function)))
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
