"""Move what is computed from one weight alone into that weight's program.

Before:
    module level=model
    weight @layer0.w f32[8, 4] for 2 = checkpoint("h.{i}.w")

    entry @step(%x: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%x)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.w"]]}
      return %r
    }

    func @layer0(%x: f32[T, 8], %w: f32[8, 4]) {
      %t: f32[4, 8] = transpose(%w) {permutation = [1, 0]}
      %y: f32[T, 4] = linear(%x, %t)
      %z: f32[T, 8] = linear(%y, %w)
      return %z
    }

After:
    module level=model
    weight @layer0.w f32[8, 4] for 2 = checkpoint("h.{i}.w")
    weight @layer0.w.transpose f32[4, 8] for 2 = transpose(checkpoint("h.{i}.w"), [1, 0])

    entry @step(%x: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%x)
        {carried = 1, count = 2, pattern = ["layer0"],
         weights = [["layer0.w", "layer0.w.transpose"]]}
      return %r
    }

    func @layer0(%x: f32[T, 8], %w: f32[8, 4], %t: f32[4, 8]) {
      %y: f32[T, 4] = linear(%x, %t)
      %z: f32[T, 8] = linear(%y, %w)
      return %z
    }

Requires: layers are called by repeats of entry functions.
Keeps: the order of the other parameters. The old weight stays where it is still read. A number is
added to a weight here where a norm or its like reads the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from ..ir.graph import Context, Function, Module, Node, Value, context_of, drop_dead
from ..ir.ops import Kind, record_of
from ..ir.types import Dim
from ..ir.weights import Argument, Step, Weight
from .layer_weights import add_weight, weight_parameters

Recipe = Callable[[Mapping[Value, Step]], Step]

_FOLDED: dict[str, tuple[str, ...]] = {
    "transpose": ("permutation",),
    "reshape": ("shape",),
    "slice": ("axis", "start", "stop", "step"),
    "concat": ("axis",),
}
"""Ops that become steps, with the attributes that are the step's arguments."""


@dataclass(frozen=True)
class _Folded:
    """A value computed from weights: which, how, and by what op last."""

    bases: tuple[Value, ...]
    recipe: Recipe
    op: str


def fold_weights(module: Module) -> tuple[Module, int]:
    """Fold in every function; the count is the weights that were made."""
    count = 0
    for name in list(module.functions):
        module, made = _fold(module, name)
        count += made
    return module, count


def _fold(module: Module, name: str) -> tuple[Module, int]:
    function = module.functions[name]
    own = weight_parameters(module, function)
    bases = [*own, *(node.result for node in function.nodes if node.op == "weight")]
    folded = _folded(function, bases)
    read = {v for n in function.nodes if n.results[0] not in folded for v in n.operands}
    wanted = [v for v in folded if folded[v].op and (v in read or v in function.results)]
    for value in wanted:
        module = _make(module, name, value, folded[value])
    if wanted:
        module = module.with_functions(drop_dead(module.functions[name])[0])
    return module, len(wanted)


def _folded(function: Function, bases: Sequence[Value]) -> dict[Value, _Folded]:
    """What each value that only weights determine is made of."""
    found = {base: _Folded((base,), itemgetter(base), "") for base in bases}
    context = context_of(function)
    for node in function.nodes:
        numbers = _added(node, context)
        operands = [value for value in node.operands if not numbers or value in found]
        if (node.op in _FOLDED or numbers) and operands and all(v in found for v in operands):
            found[node.result] = _apply(node, [found[value] for value in operands], numbers)
    return found


def _added(node: Node, context: Context) -> tuple[float, ...]:
    """The number that a node adds to what no elementwise op reads, which would do it by itself."""
    readers = context.users.get(node.results[0], ()) if node.op == "add" else ()
    if not readers or any(record_of(reader.op).kind is Kind.ELEMENTWISE for reader in readers):
        return ()
    makers = [context.producer(value, "constant") for value in node.operands]
    return tuple(float(m.attrs["value"]) for m in makers if m and node.result.dtype.is_float)


def _apply(node: Node, parts: Sequence[_Folded], numbers: tuple[float, ...]) -> _Folded:
    names = _FOLDED.get(node.op, ())
    arguments: tuple[Argument, ...] = numbers or tuple(
        _plain(node.attrs.get(name, 1)) for name in names
    )

    def recipe(steps: Mapping[Value, Step]) -> Step:
        return Step(node.op, tuple(part.recipe(steps) for part in parts), arguments)

    bases = tuple(dict.fromkeys(base for part in parts for base in part.bases))
    return _Folded(bases, recipe, node.op)


def _plain(value: Any) -> int | tuple[int, ...]:
    """Dims of weights are numbers."""
    if isinstance(value, tuple):
        return tuple(int(Dim.of(item)) for item in value)
    return int(value)


def _make(module: Module, name: str, value: Value, folded: _Folded) -> Module:
    """Bind ``value`` to a weight of its own."""

    def combine(weights: Sequence[Weight]) -> Weight:
        steps = {b: weight.program for b, weight in zip(folded.bases, weights, strict=True)}
        own = _unused(module, f"{weights[0].name}.{folded.op}")
        return Weight(own, value.type, folded.recipe(steps), weights[0].count)

    function = module.functions[name]
    if all(base in function.params for base in folded.bases):
        nodes = tuple(node for node in function.nodes if value not in node.results)
        module = module.with_functions(replace(function, nodes=nodes))
        module, made = add_weight(module, name, folded.bases, combine, value.name)
        assert made == value, f"{made.name} stands for {value.name}"
        return module
    producers = function.producers()
    names = [str(producers[base].attrs["name"]) for base in folded.bases]
    weight = combine([module.weights[base] for base in names])
    attrs = {"name": weight.name, "dtype": value.dtype, "shape": value.shape}
    nodes = tuple(
        Node("weight", (), attrs, n.results, n.origin) if value in n.results else n
        for n in function.nodes
    )
    return module.with_functions(replace(function, nodes=nodes)).with_weights(weight)


def _unused(module: Module, stem: str) -> str:
    name, number = stem, 1
    while name in module.weights:
        number += 1
        name = f"{stem}_{number}"
    return name
