"""Move transposes below ops that do not mind the order of axes, towards where they cancel.

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
Keeps: every result. An elementwise op moves only when its other operands are smaller than its
result or are transposed in the same way; an op along the last axis only when that stays the last.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Function, Module, Node, Value, drop_dead, map_functions
from ..ir.ops import Kind, record_of
from ..ir.types import Dim
from .cancel_layouts import cancel_layouts
from .emit import Emitter, copy_node, rebuild

Order = tuple[int, ...]
Sources = dict[Value, tuple[Value, Order]]
"""For each transposed value: what it is the transpose of, and the permutation."""

_ALONG_AXIS = ("slice", "concat", "reduce_sum", "reduce_mean", "reduce_max")
_LAST_AXIS = ("rms_norm", "layer_norm", "softmax")


def sink_transposes(module: Module) -> tuple[Module, int]:
    """Sink in every function, then cancel what met."""
    module, count = map_functions(module, _sink)
    return (cancel_layouts(module)[0], count) if count else (module, 0)


def _sink(function: Function) -> tuple[Function, int]:
    sources: Sources = {}
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
    emit: Emitter, node: Node, operands: Sequence[Value], sources: Sources
) -> tuple[Value, Order] | None:
    """The op on untransposed operands, and the permutation to apply to its result."""
    orders = {sources[value][1] for value in operands if value in sources}
    if len(orders) != 1:
        return None
    order = orders.pop()
    if node.op == "reshape":
        return _reshaped(emit, node, sources[operands[0]][0], order)
    if not _may_move(node, operands, sources, order):
        return None
    if node.op in _LAST_AXIS:
        return emit(node.op, sources[operands[0]][0], *operands[1:], **node.attrs), order
    plain = [_untransposed(emit, value, order, sources) for value in operands]
    attrs = dict(node.attrs)
    if "axis" in attrs:
        attrs["axis"] = order[attrs["axis"]]
    return emit(node.op, *plain, **attrs), order


def _reshaped(emit: Emitter, node: Node, x: Value, order: Order) -> tuple[Value, Order] | None:
    """A reshape of the axes behind the transposed ones."""
    stays = len(order)
    while stays and order[stays - 1] == stays - 1:
        stays -= 1
    old, new = node.operands[0].shape, node.results[0].shape
    if old[:stays] != new[:stays]:
        return None
    rest = tuple(range(stays, len(new)))
    return emit.reshape(x, *x.shape[:stays], *new[stays:]), order[:stays] + rest


def _may_move(node: Node, operands: Sequence[Value], sources: Sources, order: Order) -> bool:
    others = [value for value in operands if value not in sources]
    rank = node.results[0].type.rank
    if any(value.type.rank != rank for value in operands if value in sources):
        return False
    if record_of(node.op).kind is Kind.ELEMENTWISE:
        shape = node.results[0].shape
        return all(value.shape != shape for value in others)
    if node.op in _LAST_AXIS:
        return order[-1] == rank - 1 and operands[0] in sources
    return node.op in _ALONG_AXIS and not others


def _untransposed(emit: Emitter, value: Value, order: Order, sources: Sources) -> Value:
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
