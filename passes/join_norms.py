"""Make one norm of the norms that each head has of its own.

Before:
    module level=model

    entry @step(%x: f32[2, T, 4], %v: f32[4], %w: f32[4]) {
      %a: f32[1, T, 4] = slice(%x) {axis = 0, start = 0, stop = 1}
      %b: f32[T, 4] = reshape(%a) {shape = [<T>, <4>]}
      %c: f32[T, 4] = layer_norm(%b, %v) {eps = 1e-05}
      %d: f32[1, T, 4] = slice(%x) {axis = 0, start = 1, stop = 2}
      %e: f32[T, 4] = reshape(%d) {shape = [<T>, <4>]}
      %f: f32[T, 4] = layer_norm(%e, %w) {eps = 1e-05}
      %g: f32[T, 1, 4] = reshape(%c) {shape = [<T>, <1>, <4>]}
      %h: f32[T, 1, 4] = reshape(%f) {shape = [<T>, <1>, <4>]}
      %y: f32[T, 2, 4] = concat(%g, %h) {axis = 1}
      return %y
    }

After:
    module level=model

    entry @step(%x: f32[2, T, 4], %v: f32[4], %w: f32[4]) {
      %y_1: f32[2, T, 4] = layer_norm(%x) {eps = 1e-05}
      %y_2: f32[1, 1, 4] = reshape(%v) {shape = [<1>, <1>, <4>]}
      %y_3: f32[1, 1, 4] = reshape(%w) {shape = [<1>, <1>, <4>]}
      %y_4: f32[2, 1, 4] = concat(%y_2, %y_3) {axis = 0}
      %y_5: f32[2, T, 4] = mul(%y_1, %y_4)
      %y: f32[T, 2, 4] = transpose(%y_5) {permutation = [1, 0, 2]}
      return %y
    }

Requires: no batch axis; that reshapes of reshapes are one.
Keeps: where results are rounded: of narrow floats, the norm and its parameters are in f32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Context, Function, Module, Node, Value, drop_dead, map_functions, rewrite
from ..ir.types import Dim, DType
from .emit import Emitter


def join_norms(module: Module) -> tuple[Module, int]:
    """Join in every function; the count is the concatenations that went away."""
    return map_functions(module, _join)


def _join(function: Function) -> tuple[Function, int]:
    joined, count = rewrite(function, _rule)
    return (drop_dead(joined)[0], count) if count else (function, 0)


def _rule(node: Node, context: Context) -> list[Node] | None:
    norms = _norms(node, context)
    lines = [line for norm in norms if (line := _maker(norm.operands[0], "slice", context))]
    if not lines or len(lines) < len(norms) or not _is_whole(lines):
        return None
    if not _moves_only(lines[0], norms, node):
        return None
    emit = Emitter(context.names, node.result.name, node.origin)
    value = _normed(emit, lines[0], norms)
    order = [axis for axis in range(value.type.rank) if axis != lines[0].attrs["axis"]]
    order.insert(node.attrs["axis"], lines[0].attrs["axis"])
    emit("transpose", emit.cast(value, node.result.dtype), permutation=tuple(order))
    return [*emit.nodes[:-1], replace(emit.nodes[-1], results=node.results)]


def _norms(node: Node, context: Context) -> list[Node]:
    """Norms that differ in their parameters alone, whose results a node puts side by side."""
    if node.op != "concat" or any(v.shape[node.attrs["axis"]] != Dim(1) for v in node.operands):
        return []
    norms = [n for v in node.operands if (n := _maker(v, "layer_norm", context))]
    kinds = {(n.attrs["eps"], len(n.operands)) for n in norms}
    return norms if len(norms) == len(node.operands) and len(kinds) == 1 else []


def _maker(value: Value, op: str, context: Context) -> Node | None:
    """The node that makes a value, seen through one reshape, if its op is ``op``."""
    reshape = context.producer(value, "reshape")
    return context.producer(reshape.operands[0] if reshape else value, op)


def _is_whole(lines: Sequence[Node]) -> bool:
    """Whether the slices are every line of one value, in order."""
    x, axis = lines[0].operands[0], lines[0].attrs["axis"]
    found = [(n.operands[0], n.attrs["axis"], n.attrs["start"], n.attrs["stop"]) for n in lines]
    wanted = [(x, axis, at, at + 1) for at in range(len(lines))]
    return found == wanted and x.shape[axis] == Dim(len(lines)) and axis < x.type.rank - 1


def _moves_only(line: Node, norms: Sequence[Node], node: Node) -> bool:
    """Whether the reshapes take the lines' axis away and put it elsewhere, and that is all."""
    rest, place = list(line.operands[0].shape), node.attrs["axis"]
    count = rest.pop(line.attrs["axis"])
    wanted = (*rest[:place], count, *rest[place:])
    return node.result.shape == wanted and all(n.operands[0].shape == tuple(rest) for n in norms)


def _normed(emit: Emitter, line: Node, norms: Sequence[Node]) -> Value:
    """One norm of all lines, and what their parameters make of it, each line's own."""
    x, axis = line.operands[0], line.attrs["axis"]
    value = emit("layer_norm", emit.cast(x, DType.F32), eps=norms[0].attrs["eps"])
    shape = [Dim(1) for _ in x.shape[:-1]] + [x.shape[-1]]
    for op, *parameters in zip(("mul", "add"), *(n.operands[1:] for n in norms), strict=False):
        parts = [emit.reshape(parameter, *shape) for parameter in parameters]
        value = emit(op, value, emit.cast(emit("concat", *parts, axis=axis), DType.F32))
    return value
