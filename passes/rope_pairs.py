"""The pairs of elements that rotary embeddings turn, and the tables that they are turned by."""

from __future__ import annotations

from ..ir.graph import Context, Node, Value
from ..ir.types import Dim

STYLES = ("half", "interleaved")
"""What the elements of a pair are: one of each half, or neighbours."""

Slice = tuple[Value, int, int, int]
"""Elements of a value's last axis: the value, start, stop and step."""


def is_rotated(turned: Value, x: Value, style: str, context: Context) -> bool:
    """True when ``turned`` is x with each pair (a, b) as (-b, a)."""
    if style == "interleaved":
        whole = context.producer(turned, "reshape")
        if whole is None:
            return False
        turned = whole.operands[0]
    joined = context.producer(turned, "concat")
    if joined is None or not joins_two(joined, style):
        return False
    second, first = (unreshaped(v, style, context) for v in joined.operands)
    negated = context.producer(second, "neg")
    if negated is None:
        return False
    parts = [part_of(x, which, style, int(x.shape[-1])) for which in (0, 1)]
    found = [slice_of(v, context) for v in (first, negated.operands[0])]
    return found == parts


def joins_two(node: Node, style: str) -> bool:
    """Whether it makes pairs: of the elements of two halves, or of neighbours on an axis of two."""
    are_neighbours = style != "interleaved" or node.operands[0].shape[-1] == Dim(1)
    return len(node.operands) == 2 and is_last(node) and are_neighbours


def is_last(node: Node) -> bool:
    """Whether an op is along its result's last axis."""
    return bool(node.attrs["axis"] == node.result.type.rank - 1)


def unreshaped(value: Value, style: str, context: Context) -> Value:
    """Interleaved parts are concatenated along a new last axis."""
    node = context.producer(value, "reshape") if style == "interleaved" else None
    return node.operands[0] if node else value


def part_of(x: Value, which: int, style: str, width: int) -> Slice:
    """(source, start, stop, step) of the first or second elements of x's pairs."""
    if style == "interleaved":
        return x, which, width, 2
    return x, which * width // 2, (which + 1) * width // 2, 1


def slice_of(value: Value, context: Context) -> Slice | None:
    """What a value is a slice of, along its last axis or of pairs that have one."""
    node = context.producer(value, "slice")
    if node is None:
        return _of_pairs(value, context)
    if node.attrs["axis"] != value.type.rank - 1:
        return None
    start, stop, step = (int(str(node.attrs.get(k, 1))) for k in ("start", "stop", "step"))
    width = int(node.operands[0].shape[-1])
    return node.operands[0], start, width if step > 1 else stop, step


def _of_pairs(value: Value, context: Context) -> Slice | None:
    """The slice of every second element where the pairs of x, [.., D / 2, 2], have an axis."""
    part = context.producer(value, "reshape")
    cut = context.producer(part.operands[0], "slice") if part else None
    if cut is None or not is_last(cut) or cut.operands[0].shape != (*value.shape, Dim(2)):
        return None
    return cut.operands[0], int(str(cut.attrs["start"])), 2 * int(value.shape[-1]), 2


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
    source = unreshaped(node.operands[0], style, context)
    return source if joins_two(node, style) and 2 * source.shape[-1] == x.shape[-1] else None
