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
from .rope_pairs import (
    STYLES,
    Slice,
    columns_of,
    is_last,
    is_rotated,
    joins_two,
    part_of,
    slice_of,
    unreshaped,
)

Item = TypeVar("Item")

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
        if node.result.type.rank not in (2, 3):
            continue
        repeated = style if node.op == "add" else ""  # halves and neighbours have one column a pair
        tables = [columns_of(t, node.result, repeated, context) for t in (cos, sin)]
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
    x = shaped(x, *node.result.shape)  # its pairs may have an axis of their own
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


def _concatenation(node: Node, context: Context) -> Iterator[Found]:
    """(a * cos - b * sin, b * cos + a * sin), joined, of the pairs (a, b) of x."""
    stacked = context.producer(node.operands[0], "concat") if node.op == "reshape" else None
    for style, joined in zip(STYLES, (node if node.op == "concat" else None, stacked), strict=True):
        if joined is not None and joins_two(joined, style):
            yield from _of_parts(node, joined, style, context)


def _of_parts(node: Node, joined: Node, style: str, context: Context) -> Iterator[Found]:
    values = [unreshaped(value, style, context) for value in joined.operands]
    low, high = (
        context.producer(value, op) for value, op in zip(values, ("sub", "add"), strict=True)
    )
    if low is None or high is None:
        return
    shape, width = node.result.shape, int(node.result.shape[-1])
    terms = [_product(value, context) for value in (*low.operands, *high.operands)]
    for swapped in (False, True):
        a_cos, b_sin, b_cos, a_sin = [*terms[:2], *(terms[:1:-1] if swapped else terms[2:])]
        for x, cos, sin in _pairs(style, width, a_cos, b_sin, b_cos, a_sin):
            if x.shape in (shape, (*shape[:-1], Dim(width // 2), Dim(2))):
                yield x, cos, sin, style


def _product(value: Value, context: Context) -> list[tuple[Slice, Value]]:
    """(slice, other factor) of a product, in both readings."""
    node = context.producer(value, "mul")
    pairs = list(_orders(node.operands)) if node else []
    found = [(slice_of(part, context), factor) for part, factor in pairs]
    return [(part, factor) for part, factor in found if part is not None]


def _pairs(
    style: str, width: int, *terms: list[tuple[Slice, Value]]
) -> Iterator[tuple[Value, Value, Value]]:
    if not all(terms):
        return
    (a, cos), (b, sin), (b_again, cos_again), (a_again, sin_again) = (term[0] for term in terms)
    x = a[0]
    fits = a == part_of(x, 0, style, width) and b == part_of(x, 1, style, width)
    if fits and (a, b, cos, sin) == (a_again, b_again, cos_again, sin_again):
        yield x, cos, sin


def _partial(node: Node, context: Context) -> list[Node] | None:
    """rope of the first elements, joined with the rest of the same value."""
    if node.op != "concat" or len(node.operands) != 2 or not is_last(node):
        return None
    rope = context.producer(node.operands[0], "rope")
    rotary = slice_of(rope.operands[0], context) if rope else None
    rest = slice_of(node.operands[1], context)
    if rope is None or rotary is None or rest is None or rotary[0] != rest[0]:
        return None
    x, width = rotary[0], int(rope.result.shape[-1])
    if rotary[1:] != (0, width, 1) or rest[1:] != (width, int(x.shape[-1]), 1):
        return None
    return [Node("rope", (x, *rope.operands[1:]), rope.attrs, node.results, node.origin)]
