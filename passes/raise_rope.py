"""Recognise rotary embeddings: half-split, interleaved, as parts that are joined, or partial.

Before:
    module level=model

    entry @step(%x: f32[T, 2, 8], %c: f32[T, 2], %s: f32[T, 2]) {
      %cc: f32[T, 4] = concat(%c, %c) {axis = 1}
      %cos: f32[T, 1, 4] = reshape(%cc) {shape = [<T>, <1>, <4>]}
      %ss: f32[T, 4] = concat(%s, %s) {axis = 1}
      %sin: f32[T, 1, 4] = reshape(%ss) {shape = [<T>, <1>, <4>]}
      %r: f32[T, 2, 4] = slice(%x) {axis = 2, start = 0, stop = 4}
      %rest: f32[T, 2, 4] = slice(%x) {axis = 2, start = 4, stop = 8}
      %a: f32[T, 2, 4] = mul(%r, %cos)
      %x1: f32[T, 2, 2] = slice(%r) {axis = 2, start = 0, stop = 2}
      %x2: f32[T, 2, 2] = slice(%r) {axis = 2, start = 2, stop = 4}
      %n: f32[T, 2, 2] = neg(%x2)
      %h: f32[T, 2, 4] = concat(%n, %x1) {axis = 2}
      %b: f32[T, 2, 4] = mul(%h, %sin)
      %d: f32[T, 2, 4] = add(%a, %b)
      %e: f32[T, 2, 8] = concat(%d, %rest) {axis = 2}
      return %e
    }

After:
    module level=model

    entry @step(%x: f32[T, 2, 8], %c: f32[T, 2], %s: f32[T, 2]) {
      %e: f32[T, 2, 8] = rope(%x, %c, %s)
      return %e
    }

Requires: token-packed values, transposes sunk, tables built inside the layers.
Keeps: values up to roundings between the rotation's own steps, of which the op has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..ir.graph import (
    Context,
    Function,
    Module,
    Node,
    Rule,
    Value,
    drop_dead,
    map_functions,
    rewrite,
)
from ..ir.types import Dim

Item = TypeVar("Item")

STYLES = ("half", "interleaved")
"""What the elements of a pair are: one of each half, or neighbours."""

Found = tuple[Value, Value, Value, str]
"""What is rotated, the cosines and sines to find tables for, the style."""


def raise_rope(module: Module) -> tuple[Module, int]:
    """Raise in every function: first whole rotations, then partial ones."""
    module, whole = map_functions(module, lambda function: _raise(function, _whole))
    module, partial = map_functions(module, lambda function: _raise(function, _partial))
    return module, whole + partial


def _raise(function: Function, rule: Rule) -> tuple[Function, int]:
    raised, count = rewrite(function, rule)
    return (drop_dead(raised)[0], count) if count else (function, 0)


def _whole(node: Node, context: Context) -> list[Node] | None:
    for x, cos, sin, style in (*_sums(node, context), *_concatenation(node, context)):
        if x.type.rank not in (2, 3):
            continue
        repeated = style if node.op == "add" else ""  # halves and neighbours have one column a pair
        tables = [columns_of(t, x, repeated, context) for t in (cos, sin)]
        if None not in tables:
            return _rope(node, x, [t for t in tables if t], style, context)
    return None


def _rope(node: Node, x: Value, tables: list[Value], style: str, context: Context) -> list[Node]:
    """The op on x [T, H, D] and tables [T, Dr/2]; a value of one head may come as [T, D]."""
    nodes: list[Node] = []

    def shaped(value: Value, *shape: Dim) -> Value:
        if value.shape == shape:
            return value
        result = context.value(value.name, value.type.with_shape(*shape))
        nodes.append(Node("reshape", (value,), {"shape": shape}, (result,), node.origin))
        return result

    flat = [shaped(table, x.shape[0], table.shape[-1]) for table in tables]
    heads = shaped(x, x.shape[0], Dim(1), x.shape[1]) if x.type.rank == 2 else x
    rotated = node.result if heads is x else context.value(node.result.name, heads.type)
    nodes.append(Node("rope", (heads, *flat), {"style": style}, (rotated,), node.origin))
    if rotated is not node.result:
        attrs = {"shape": node.result.shape}
        nodes.append(Node("reshape", (rotated,), attrs, node.results, node.origin))
    return nodes


def _sums(node: Node, context: Context) -> Iterator[Found]:
    """x * cos + rotated(x) * sin."""
    products = [context.producer(v, "mul") for v in node.operands] if node.op == "add" else []
    for first, second in _orders(products):
        if first is None or second is None:
            continue
        for x, cos in _orders(first.operands):
            for turned, sin in _orders(second.operands):
                for style in STYLES:
                    if is_rotated(turned, x, style, context):
                        yield x, cos, sin, style


def _orders(pair: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Both orders of a pair; nothing when it is none."""
    if len(pair) == 2:
        yield pair[0], pair[1]
        yield pair[1], pair[0]


def is_rotated(turned: Value, x: Value, style: str, context: Context) -> bool:
    """True when ``turned`` is x with each pair (a, b) as (-b, a)."""
    if style == "interleaved":
        whole = context.producer(turned, "reshape")
        if whole is None:
            return False
        turned = whole.operands[0]
    joined = context.producer(turned, "concat")
    if joined is None or not _joins_two(joined, style):
        return False
    second, first = (_unreshaped(v, style, context) for v in joined.operands)
    negated = context.producer(second, "neg")
    if negated is None:
        return False
    parts = _part(x, 0, style), _part(x, 1, style)
    found = [_slice_of(v, context) for v in (first, negated.operands[0])]
    return found == list(parts)


def _joins_two(node: Node, style: str) -> bool:
    """Whether it makes pairs: of the elements of two halves, or of neighbours on an axis of two."""
    are_neighbours = style != "interleaved" or node.operands[0].shape[-1] == Dim(1)
    return len(node.operands) == 2 and _is_last(node) and are_neighbours


def _is_last(node: Node) -> bool:
    return bool(node.attrs["axis"] == node.result.type.rank - 1)


def _unreshaped(value: Value, style: str, context: Context) -> Value:
    """Interleaved parts are concatenated along a new last axis."""
    node = context.producer(value, "reshape") if style == "interleaved" else None
    return node.operands[0] if node else value


def _part(x: Value, which: int, style: str) -> tuple[Value, int, int, int]:
    """(source, start, stop, step) of the first or second elements of x's pairs."""
    width = int(x.shape[-1])
    if style == "interleaved":
        return x, which, width, 2
    return x, which * width // 2, (which + 1) * width // 2, 1


def _slice_of(value: Value, context: Context) -> tuple[Value, int, int, int] | None:
    node = context.producer(value, "slice")
    if node is None or node.attrs["axis"] != value.type.rank - 1:
        return None
    start, stop, step = (int(str(node.attrs.get(k, 1))) for k in ("start", "stop", "step"))
    width = int(node.operands[0].shape[-1])
    return node.operands[0], start, width if step > 1 else stop, step


def _concatenation(node: Node, context: Context) -> Iterator[Found]:
    """(a * cos - b * sin, b * cos + a * sin), joined, of the pairs (a, b) of x."""
    stacked = context.producer(node.operands[0], "concat") if node.op == "reshape" else None
    for style, joined in zip(STYLES, (node if node.op == "concat" else None, stacked), strict=True):
        if joined is not None and _joins_two(joined, style):
            yield from _of_parts(node, joined, style, context)


def _of_parts(node: Node, joined: Node, style: str, context: Context) -> Iterator[Found]:
    values = [_unreshaped(value, style, context) for value in joined.operands]
    low, high = (
        context.producer(value, op) for value, op in zip(values, ("sub", "add"), strict=True)
    )
    if low is None or high is None:
        return
    terms = [_product(value, context) for value in (*low.operands, *high.operands)]
    for swapped in (False, True):
        a_cos, b_sin, b_cos, a_sin = [*terms[:2], *(terms[:1:-1] if swapped else terms[2:])]
        for x, cos, sin in _pairs(style, a_cos, b_sin, b_cos, a_sin):
            if x.shape == node.result.shape:
                yield x, cos, sin, style


def _product(value: Value, context: Context) -> list[tuple[tuple[object, ...], Value]]:
    """(slice, other factor) of a product, in both readings."""
    node = context.producer(value, "mul")
    pairs = list(_orders(node.operands)) if node else []
    found = [(_slice_of(part, context), factor) for part, factor in pairs]
    return [(part, factor) for part, factor in found if part is not None]


def _pairs(
    style: str, *terms: list[tuple[tuple[object, ...], Value]]
) -> Iterator[tuple[Value, Value, Value]]:
    if not all(terms):
        return
    (a, cos), (b, sin), (b_again, cos_again), (a_again, sin_again) = (term[0] for term in terms)
    x = a[0]
    assert isinstance(x, Value)
    fits = a == _part(x, 0, style) and b == _part(x, 1, style)
    if fits and (a, b, cos, sin) == (a_again, b_again, cos_again, sin_again):
        yield x, cos, sin


def columns_of(value: Value, x: Value, style: str, context: Context) -> Value | None:
    """The columns [T, Dr/2] that ``value`` [T, 1, Dr], against x [T, H, Dr], repeats."""
    if value.shape != (x.shape[0], *([Dim(1)] * (x.type.rank - 2)), value.shape[-1]):
        return None
    node = context.producer(value)
    while node and node.op == "reshape" and node.operands[0].shape[-1] == value.shape[-1]:
        value = node.operands[0]
        node = context.producer(value)
    if not style:
        return value if 2 * value.shape[-1] == x.shape[-1] else None
    if style == "interleaved" and node and node.op == "reshape":
        node = context.producer(node.operands[0])
    if node is None or node.op != "concat" or len(set(node.operands)) != 1:
        return None
    source = _unreshaped(node.operands[0], style, context)
    return source if _joins_two(node, style) and 2 * source.shape[-1] == x.shape[-1] else None


def _partial(node: Node, context: Context) -> list[Node] | None:
    """rope of the first elements, joined with the rest of the same value."""
    if node.op != "concat" or len(node.operands) != 2 or not _is_last(node):
        return None
    rope = context.producer(node.operands[0], "rope")
    rotary = _slice_of(rope.operands[0], context) if rope else None
    rest = _slice_of(node.operands[1], context)
    if rope is None or rotary is None or rest is None or rotary[0] != rest[0]:
        return None
    x, width = rotary[0], int(rope.result.shape[-1])
    if rotary[1:] != (0, width, 1) or rest[1:] != (width, int(x.shape[-1]), 1):
        return None
    return [Node("rope", (x, *rope.operands[1:]), rope.attrs, node.results, node.origin)]
