"""Run the last layer apart, so that it ends in the rows that are wanted.

Before:
    module level=paged
    weight @layer0.w f32[8, 8] for 2 = checkpoint("h.{i}.w")

    entry @step(%h: f32[T, 8], %rows: i32[R]) {
      %r: f32[T, 8] = repeat(%h)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.w"]]}
      %last: f32[R, 8] = gather_rows(%r, %rows)
      return %last
    }

    func @layer0(%x: f32[T, 8], %w: f32[8, 8]) {
      %y: f32[T, 8] = linear(%x, %w)
      return %y
    }

After:
    module level=paged
    weight @layer0.w f32[8, 8] for 2 = checkpoint("h.{i}.w")

    entry @step(%h: f32[T, 8], %rows: i32[R]) {
      %r_1: f32[T, 8] = repeat(%h)
        {carried = 1, count = 1, pattern = ["layer0"], weights = [["layer0.w"]]}
      %last: f32[R, 8] = repeat(%r_1, %rows)
        {carried = 1, count = 1, first = 1, pattern = ["layer0_rows"], weights = [["layer0.w"]]}
      return %last
    }

    func @layer0(%x: f32[T, 8], %w: f32[8, 8]) {
      %y: f32[T, 8] = linear(%x, %w)
      return %y
    }

    func @layer0_rows(%x: f32[T, 8], %rows: i32[R], %w: f32[8, 8]) {peeled_from = "layer0"} {
      %y: f32[T, 8] = linear(%x, %w)
      %last: f32[R, 8] = gather_rows(%y, %rows)
      return %last
    }

Requires: level paged.
Keeps: layers whose result something else reads, too, or does not come from row-wise work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..ir.graph import Function, Module, Names, Node, Value, context_of
from .base import Miss, Obstacle, made_by
from .layer_weights import repeats_of
from .select_rows_early import is_row_wise


def peel_last_layer(module: Module) -> tuple[Module, int]:
    """Peel in every entry; the count is the layers that run apart."""
    count = 0
    for name in module.entries:
        for repeat, gather in _candidates(module.functions[name]):
            if not _obstacle(repeat, gather, module.functions[name], module):
                module, count = _peel(module, name, repeat, gather), count + 1
    return module, count


def missed_layers(module: Module) -> Iterator[Miss]:
    """Last layers that compute rows of which few are wanted."""
    for entry in map(module.functions.__getitem__, module.entries):
        for repeat, gather in _candidates(entry):
            obstacle = _obstacle(repeat, gather, entry, module)
            assert obstacle, "a pass leaves what it cannot do"
            yield Miss.at(entry, gather, obstacle)


def _candidates(entry: Function) -> list[tuple[Node, Node]]:
    """Repeats, and gathers of what they give."""
    context = context_of(entry)
    gathers = [node for node in entry.nodes if node.op == "gather_rows"]
    pairs = [(context.producer(node.operands[0], "repeat"), node) for node in gathers]
    return [(repeat, gather) for repeat, gather in pairs if repeat]


def _obstacle(repeat: Node, gather: Node, entry: Function, module: Module) -> Obstacle | None:
    context, rows = context_of(entry), gather.operands[0]
    if gather.operands[1] not in entry.params:
        return Obstacle("which rows are wanted is an input", made_by(gather.operands[1], context))
    if not context.has_one_use(rows):
        readers = ", ".join(node.op for node in context.users[rows])
        return Obstacle("one gather alone reads the layer's rows", f"read by {readers}")
    layer = context_of(module.functions[repeat.attrs["pattern"][-1]])
    made = layer.function.results[repeat.results.index(rows)]
    maker = layer.producer(made)
    if maker is None or not is_row_wise(maker):
        return Obstacle("row-wise work ends the layer", made_by(made, layer))
    return None


def _peel(module: Module, name: str, repeat: Node, gather: Node) -> Module:
    entry, last = module.functions[name], str(repeat.attrs["pattern"][-1])
    layer = Names(taken=module.functions).fresh(f"{last}_rows")
    names, end = Names(entry), repeat.attrs["carried"]
    carried, shared, calls = repeat.operands[:end], repeat.operands[end:], list[Node]()
    for attrs in _before_last(repeat):
        results = tuple(Value(names.fresh(v.name), v.type) for v in repeat.results)
        calls.append(replace(repeat, operands=(*carried, *shared), attrs=attrs, results=results))
        carried = results
    calls.append(_last_call(repeat, gather, carried, layer))
    column = repeat.results.index(gather.operands[0])
    made = _with_gather(module.functions[last], layer, column, len(repeat.operands), gather)
    kept = [node for node in entry.nodes if node is not gather]
    at = kept.index(repeat)
    nodes = (*kept[:at], *calls, *kept[at + 1 :])
    return _without(last, module.with_functions(replace(entry, nodes=nodes), made))


def _before_last(repeat: Node) -> Iterator[dict[str, Any]]:
    """Attributes of what runs all layers but the last: whole patterns, then a part of one."""
    attrs = dict(repeat.attrs)
    count, first = attrs["count"] - 1, attrs.get("first", 0)
    if count:
        yield attrs | {"count": count}
    if len(attrs["pattern"]) > 1:
        yield _places(attrs, slice(-1)) | {"count": 1, "first": first + count}


def _places(attrs: dict[str, Any], part: slice) -> dict[str, Any]:
    """Attributes of a part of the pattern."""
    each = ("pattern", "weights", *(["index"] if attrs.get("index") else []))
    return attrs | {name: attrs[name][part] for name in each}


def _last_call(repeat: Node, gather: Node, carried: Sequence[Value], layer: str) -> Node:
    attrs = _places(dict(repeat.attrs), slice(-1, None))
    first = attrs.get("first", 0) + attrs["count"] - 1
    attrs |= {"count": 1, "first": first, "pattern": (layer,)}
    shared = (*repeat.operands[len(carried) :], gather.operands[1])
    results = [gather.result if v == gather.operands[0] else v for v in repeat.results]
    return replace(repeat, operands=(*carried, *shared), attrs=attrs, results=tuple(results))


def _with_gather(
    layer: Function, name: str, column: int, num_operands: int, gather: Node
) -> Function:
    """The layer with the rows as its last operand, and these alone of a result."""
    names = Names(layer)
    rows, last = (Value(names.fresh(v.name), v.type) for v in (gather.operands[1], gather.result))
    node = replace(gather, operands=(layer.results[column], rows), results=(last,))
    return replace(
        layer,
        name=name,
        params=(*layer.params[:num_operands], rows, *layer.params[num_operands:]),
        nodes=(*layer.nodes, node),
        results=(*layer.results[:column], last, *layer.results[column + 1 :]),
        attrs=dict(layer.attrs) | {"peeled_from": layer.name},
    )


def _without(layer: str, module: Module) -> Module:
    """The module without a layer that nothing calls."""
    if any(repeats_of(module, layer)):
        return module
    functions = {name: f for name, f in module.functions.items() if name != layer}
    return replace(module, functions=functions)
