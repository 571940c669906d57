"""Drop the leading axes of size 1: the model level is token-packed.

Before:
    module level=model

    entry @step(%x: f32[T, 4], %w: f32[4]) {
      %a: f32[1, T, 4] = reshape(%x) {shape = [<1>, <T>, <4>]}
      %b: f32[1, T, 4] = mul(%a, %w)
      %c: f32[1, T, 2, 2] = reshape(%b) {shape = [<1>, <T>, <2>, <2>]}
      %d: f32[1, 2, T, 2] = transpose(%c) {permutation = [0, 2, 1, 3]}
      %e: f32[2, T, 2] = reshape(%d) {shape = [<2>, <T>, <2>]}
      return %e
    }

After:
    module level=model

    entry @step(%x: f32[T, 4], %w: f32[4]) {
      %b: f32[T, 4] = mul(%x, %w)
      %c: f32[T, 2, 2] = reshape(%b) {shape = [<T>, <2>, <2>]}
      %d: f32[2, T, 2] = transpose(%c) {permutation = [1, 0, 2]}
      return %d
    }

Requires: no torch ops.
Keeps: weights and the inputs of entry functions as they are. Ops that need their operands' rank
get it back by a reshape.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Module, Node, Value
from ..ir.ops import Kind, record_of
from ..ir.types import Dim, TensorType
from .emit import Emitter, copy_node, rebuild


def drop_batch_axis(module: Module) -> tuple[Module, int]:
    """Rewrite every function; the count is the values that lost an axis."""
    functions = module.functions.values()
    count = sum(
        _packed(value.type) != value.type
        for function in functions
        for node in function.nodes
        if node.op != "weight"
        for value in node.results
    )
    if not count:
        return module, 0
    plain = _num_plain_params(module)
    changed = []
    for function in functions:
        first_weight = plain.get(function.name, 0)

        def param(index: int, type: TensorType, first_weight: int = first_weight) -> TensorType:
            return _packed(type) if index < first_weight else type

        changed.append(rebuild(function, _packed_node, param))
    return module.with_functions(*changed), count


def _num_plain_params(module: Module) -> dict[str, int]:
    """How many parameters of each layer function come before its weights."""
    calls = [n for f in module.functions.values() for n in f.nodes if n.op == "repeat"]
    return {name: len(call.operands) for call in calls for name in call.attrs["pattern"]}


def _packed(type: TensorType) -> TensorType:
    """The type without leading ones; one axis stays."""
    shape = type.shape
    while len(shape) > 1 and shape[0] == Dim(1):
        shape = shape[1:]
    return TensorType(shape, type.dtype)


def _packed_node(emit: Emitter, node: Node, operands: list[Value]) -> Sequence[Value]:
    if node.op in ("weight", "repeat"):
        return copy_node(emit, node, operands)
    if record_of(node.op).kind is Kind.ELEMENTWISE:
        return [emit(node.op, *(_pack(emit, x) for x in operands), **node.attrs)]
    special = _SPECIAL.get(node.op)
    if special and node.operands[0].type.rank == node.results[0].type.rank:
        found = special(emit, node, _pack(emit, operands[0]), operands)
        if found is not None:
            return [_pack(emit, found)]
    if node.op == "reshape":
        return [emit.reshape(operands[0], *_packed(node.results[0].type).shape)]
    restored = [emit.reshape(x, *old.shape) for x, old in zip(operands, node.operands, strict=True)]
    results = emit.results(node.op, *restored, **node.attrs)
    return [_pack(emit, value) for value in results]


def _pack(emit: Emitter, value: Value) -> Value:
    return emit.reshape(value, *_packed(value.type).shape)


def _num_dropped(node: Node, x: Value) -> int:
    return node.operands[0].type.rank - x.type.rank


def _transpose(emit: Emitter, node: Node, x: Value, _: list[Value]) -> Value | None:
    dropped = _num_dropped(node, x)
    order = [axis - dropped for axis in node.attrs["permutation"] if axis >= dropped]
    large = [axis for axis in order if x.shape[axis] != Dim(1)]
    moved = x if large == sorted(large) else emit.transpose(x, order)
    return emit.reshape(moved, *_packed(node.results[0].type).shape)


def _along_axis(emit: Emitter, node: Node, x: Value, _: list[Value]) -> Value | None:
    axis = node.attrs["axis"] - _num_dropped(node, x)
    return emit(node.op, x, **dict(node.attrs) | {"axis": axis}) if axis >= 0 else x


def _concat(emit: Emitter, node: Node, _: Value, operands: list[Value]) -> Value | None:
    packed = [_pack(emit, operand) for operand in operands]
    drops = {old.type.rank - x.type.rank for old, x in zip(node.operands, packed, strict=True)}
    axis = node.attrs["axis"] - max(drops)
    if len(drops) > 1:
        return None
    return emit("concat", *packed, axis=axis) if axis >= 0 else _side_by_side(emit, packed)


def _side_by_side(emit: Emitter, parts: Sequence[Value]) -> Value:
    """Parts along an axis before their own: put behind that of the tokens, which stays first."""
    first, *rest = parts[0].shape
    lines = [emit.reshape(part, first, 1, *rest) for part in parts]
    order = (1, 0, *range(2, 2 + len(rest)))
    return emit.transpose(emit("concat", *lines, axis=1), order)


def _last_axis(emit: Emitter, node: Node, x: Value, operands: list[Value]) -> Value | None:
    """Ops along the last axis, whose further operands are weights."""
    return emit(node.op, x, *operands[1:], **node.attrs)


def _linear(emit: Emitter, node: Node, x: Value, operands: list[Value]) -> Value | None:
    plain = operands[1].shape == node.operands[1].shape
    return _last_axis(emit, node, x, operands) if plain else None


_SPECIAL = {
    "transpose": _transpose,
    "slice": _along_axis,
    "reduce_sum": _along_axis,
    "reduce_mean": _along_axis,
    "reduce_max": _along_axis,
    "concat": _concat,
    "linear": _linear,
    "softmax": _last_axis,
    "layer_norm": _last_axis,
    "rms_norm": _last_axis,
}
