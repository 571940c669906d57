"""Gather the rows that are wanted before row-wise work instead of after it.

Before:
    module level=paged

    entry @step(%h: f32[T, 8], %w: f32[8], %rows: i32[R]) {
      %n: f32[T, 8] = rms_norm(%h, %w) {eps = 1e-06}
      %last: f32[R, 8] = gather_rows(%n, %rows)
      return %last
    }

After:
    module level=paged

    entry @step(%h: f32[T, 8], %w: f32[8], %rows: i32[R]) {
      %n: f32[T, 8] = rms_norm(%h, %w) {eps = 1e-06}
      %rows_of_h: f32[R, 8] = gather_rows(%h, %rows)
      %last: f32[R, 8] = rms_norm(%rows_of_h, %w) {eps = 1e-06}
      return %last
    }

Requires: nothing.
Keeps: the node whose rows were wanted, which is dead when nobody else reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..ir.graph import Context, Module, Node, Value, context_of, map_functions, rewrite
from ..ir.ops import Kind, record_of
from .base import Miss, Obstacle

_ROW_WISE = {Kind.ELEMENTWISE, Kind.ROW}


def select_rows_early(module: Module) -> tuple[Module, int]:
    """Move gathers up until they meet something that is no row-wise op."""
    total = 0
    while True:
        module, count = map_functions(module, lambda function: rewrite(function, _move_up))
        total += count
        if not count:
            return module, total


def missed_rows(module: Module) -> Iterator[Miss]:
    """Gathers that stayed after row-wise work."""
    for function in module.functions.values():
        context = context_of(function)
        for node in function.nodes:
            above = _above(node, context)
            obstacle = _obstacle(above, context) if above else None
            if obstacle:
                yield Miss.at(function, node, obstacle)


def _move_up(node: Node, context: Context) -> Iterable[Node] | None:
    above = _above(node, context)
    if above is None or _obstacle(above, context):
        return None
    source, rows = node.operands
    gathers, operands = [], []
    for value in above.operands:
        if value.type.rank and value.shape[0] == source.shape[0]:
            gathers.append(_gather(value, rows, context))
            value = gathers[-1].result
        operands.append(value)
    return [*gathers, replace(above, operands=tuple(operands), results=node.results)]


def _above(node: Node, context: Context) -> Node | None:
    """The row-wise op whose rows a gather takes."""
    above = context.producer(node.operands[0]) if node.op == "gather_rows" else None
    return above if above and record_of(above.op).kind in _ROW_WISE else None


def _obstacle(above: Node, context: Context) -> Obstacle | None:
    """Each result row must depend on the same row of the operands that have rows."""
    result = above.results[0]
    if not context.has_one_use(result):
        readers = ", ".join(n.op for n in context.users[result]) or "return"
        return Obstacle("the gather alone reads the rows", f"read by {readers}")
    types = [v.type for v in (*above.operands, *above.results)]
    same_rank = all(type.rank in (0, 1, result.type.rank) for type in types)
    if not same_rank or len(above.results) > 1 or result.type.rank < 2:
        found = f"{above.op} of {', '.join(map(str, types))}"
        return Obstacle("operands have the rank of the rows, or one axis at most", found)
    return None


def _gather(value: Value, rows: Value, context: Context) -> Node:
    result = context.value(
        f"rows_of_{value.name}", value.type.with_shape(*rows.shape, *value.shape[1:])
    )
    return Node("gather_rows", (value, rows), {}, (result,))
