"""Cancel reshapes, transposes, casts and slices of concatenations that undo one another.

Before:
    module level=model

    entry @step(%x: f32[T, 4]) {
      %a: f32[T, 2, 2] = reshape(%x) {shape = [<T>, <2>, <2>]}
      %b: f32[2, T, 2] = transpose(%a) {permutation = [1, 0, 2]}
      %c: f32[T, 2, 2] = transpose(%b) {permutation = [1, 0, 2]}
      %d: f32[T, 4] = reshape(%c) {shape = [<T>, <4>]}
      %e: f32[T, 4] = exp(%d)
      return %e
    }

After:
    module level=model

    entry @step(%x: f32[T, 4]) {
      %e: f32[T, 4] = exp(%x)
      return %e
    }

Requires: nothing.
Keeps: every result. A transpose that moves only axes of size 1 becomes a reshape.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.graph import Function, Module, Node, Value, drop_dead, map_functions
from ..ir.ops import Kind, record_of
from ..ir.types import Dim
from .emit import Emitter, copy_node, rebuild

_MERGED = ("reshape", "transpose", "cast", "slice")


def cancel_layouts(module: Module) -> tuple[Module, int]:
    """Rewrite every function; the count is the nodes that went away or changed."""
    return map_functions(module, _cancel)


def _cancel(function: Function) -> tuple[Function, int]:
    producers: dict[Value, Node] = {}
    count = 0

    def rule(emit: Emitter, node: Node, operands: list[Value]) -> Sequence[Value]:
        nonlocal count
        before = len(emit.nodes)
        results = copy_node(emit, node, operands)
        if node.op in _MERGED:
            for step in (_simplify, _simplify):
                fresh = step(emit, producers, results[0])
                count += fresh is not results[0]
                results = (fresh,)
        for made in emit.nodes[before:]:
            producers.update({value: made for value in made.results})
        return results

    rebuilt, _ = drop_dead(rebuild(function, rule))
    return (rebuilt, count) if count else (function, 0)


def _simplify(emit: Emitter, producers: dict[Value, Node], value: Value) -> Value:
    """A simpler value equal to ``value``, whose node was just emitted or is known."""
    node = producers.get(value) or _made(emit, value)
    if node is None or node.op not in _MERGED:
        return value
    producers[value] = node
    source = node.operands[0]
    inner = producers.get(source)
    if source.type == value.type and _is_identity(node):
        return source
    match node.op:
        case "transpose" if inner and inner.op == "transpose":
            order = [inner.attrs["permutation"][axis] for axis in node.attrs["permutation"]]
            return _emit(emit, producers, "transpose", inner.operands[0], permutation=tuple(order))
        case "transpose" if _moves_ones(source, node.attrs["permutation"]):
            return _emit(emit, producers, "reshape", source, shape=value.shape)
        case "transpose" if inner and _is_outer_product(inner):
            return _transposed_product(emit, producers, inner, node.attrs["permutation"])
        case "reshape" if inner and inner.op == "reshape":
            return _emit(emit, producers, "reshape", inner.operands[0], shape=value.shape)
        case "cast" if inner and inner.op == "cast" and _widens(inner):
            return _emit(emit, producers, "cast", inner.operands[0], dtype=value.dtype)
        case "slice" if inner and inner.op == "concat":
            return _part(node, inner) or value
    return value


def _made(emit: Emitter, value: Value) -> Node | None:
    return next((node for node in reversed(emit.nodes) if value in node.results), None)


def _emit(emit: Emitter, producers: dict[Value, Node], op: str, x: Value, **attrs: object) -> Value:
    value = emit(op, x, **attrs)
    producers[value] = emit.nodes[-1]
    return value


def _is_identity(node: Node) -> bool:
    permutation = node.attrs.get("permutation")
    return permutation is None or list(permutation) == sorted(permutation)


def _moves_ones(source: Value, permutation: Sequence[int]) -> bool:
    """True when the axes that are larger than 1 keep their order."""
    large = [axis for axis in permutation if source.shape[axis] != Dim(1)]
    return large == sorted(large)


def _is_outer_product(node: Node) -> bool:
    """True for an elementwise op on two vectors along different axes."""
    if record_of(node.op).kind is not Kind.ELEMENTWISE or len(node.operands) != 2:
        return False
    large = [[dim for dim in value.shape if dim != Dim(1)] for value in node.operands]
    return all(len(dims) == 1 for dims in large) and node.results[0].type.rank == 2


def _transposed_product(
    emit: Emitter, producers: dict[Value, Node], inner: Node, permutation: Sequence[int]
) -> Value:
    """The op on its vectors along the swapped axes."""
    assert tuple(permutation) == (1, 0)
    swapped = []
    for value in inner.operands:
        rows, columns = (Dim(1), *value.shape)[-2:]
        shape = (rows,) if columns == Dim(1) else (columns, rows)
        swapped.append(_emit(emit, producers, "reshape", value, shape=shape))
    result = emit(inner.op, *swapped, **inner.attrs)
    producers[result] = emit.nodes[-1]
    return result


def _widens(cast: Node) -> bool:
    """True for a cast to f32, from which a second cast rounds as one from the source would."""
    source, result = cast.operands[0].dtype, cast.result.dtype
    return source.is_float and result.is_float and source.itemsize < result.itemsize


def _part(node: Node, inner: Node) -> Value | None:
    """The operand of a concatenation that a slice takes back out whole."""
    axis, start = inner.attrs["axis"], 0
    if node.attrs["axis"] != axis or node.attrs.get("step", 1) != 1:
        return None
    for operand in inner.operands:
        stop = start + int(operand.shape[axis])
        if (start, stop) == (node.attrs["start"], node.attrs["stop"]):
            return operand
        start = stop
    return None
