"""Move transposes below elementwise ops, slices and concatenations, towards where they cancel.

Before:
    module level=model

    entry @step(%x: f32[T, 2, 4], %c: f32[T, 4]) {
      %a: f32[2, T, 4] = transpose(%x) {permutation = [1, 0, 2]}
      %b: f32[2, T, 4] = mul(%a, %c)
      %d: f32[T, 2, 4] = transpose(%b) {permutation = [1, 0, 2]}
      return %d
    }

After:
    module level=model

    entry @step(%x: f32[T, 2, 4], %c: f32[T, 4]) {
      %b: f32[T, 1, 4] = reshape(%c) {shape = [<T>, <1>, <4>]}
      %b_1: f32[T, 2, 4] = mul(%x, %b)
      return %b_1
    }

Requires: nothing.
Keeps: every result. An op moves only when its other operands are smaller than its result, or are
transposed in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Function, Module, Node, Value, drop_dead, map_functions
from ..ir.ops import Kind, record_of
from ..ir.types import Dim
from .cancel_layouts import cancel_layouts
from .emit import Emitter, copy_node, rebuild


def sink_transposes(module: Module) -> tuple[Module, int]:
    """Sink in every function, then cancel what met."""
    module, count = map_functions(module, _sink)
    return (cancel_layouts(module)[0], count) if count else (module, 0)


def _sink(function: Function) -> tuple[Function, int]:
    sources: dict[Value, tuple[Value, tuple[int, ...]]] = {}
    count = 0

    def rule(emit: Emitter, node: Node, operands: list[Value]) -> Sequence[Value]:
        nonlocal count
        moved = _moved(emit, node, operands, sources)
        if moved is None:
            results = copy_node(emit, node, operands)
            if node.op == "transpose":
                sources[results[0]] = operands[0], tuple(node.attrs["permutation"])
            return results
        count += 1
        value, order = moved
        result = emit.transpose(value, order)
        sources[result] = value, order
        return [result]

    rebuilt, _ = drop_dead(rebuild(function, rule))
    return (rebuilt, count) if count else (function, 0)


def _moved(
    emit: Emitter,
    node: Node,
    operands: Sequence[Value],
    sources: dict[Value, tuple[Value, tuple[int, ...]]],
) -> tuple[Value, tuple[int, ...]] | None:
    """The op on untransposed operands, and the permutation to apply to its result."""
    orders = {sources[value][1] for value in operands if value in sources}
    if len(orders) != 1 or not _may_move(node, operands, sources):
        return None
    order = orders.pop()
    plain = [_untransposed(emit, value, order, sources) for value in operands]
    attrs = dict(node.attrs)
    if "axis" in attrs:
        attrs["axis"] = order[attrs["axis"]]
    return emit(node.op, *plain, **attrs), order


def _may_move(
    node: Node,
    operands: Sequence[Value],
    sources: dict[Value, tuple[Value, tuple[int, ...]]],
) -> bool:
    others = [value for value in operands if value not in sources]
    rank = node.results[0].type.rank
    if any(value.type.rank != rank for value in operands if value in sources):
        return False
    if record_of(node.op).kind is Kind.ELEMENTWISE:
        shape = node.results[0].shape
        return all(value.shape != shape for value in others)
    return node.op in ("slice", "concat") and not others


def _untransposed(
    emit: Emitter,
    value: Value,
    order: Sequence[int],
    sources: dict[Value, tuple[Value, tuple[int, ...]]],
) -> Value:
    """``value`` with its axes where the transpose's source has them."""
    if value in sources:
        return sources[value][0]
    if value.type.rank == 0:
        return value
    padded = (Dim(1),) * (len(order) - value.type.rank) + value.shape
    inverse = [order.index(axis) for axis in range(len(order))]
    large = [axis for axis in inverse if padded[axis] != Dim(1)]
    shape = [padded[axis] for axis in inverse]
    while shape[0] == Dim(1) and len(shape) > value.type.rank:
        shape = shape[1:]
    if large == sorted(large):
        return emit.reshape(value, *shape)
    return emit.transpose(emit.reshape(value, *padded), inverse)
