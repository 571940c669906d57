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

from collections.abc import Iterable
from dataclasses import replace

from ..ir.graph import Context, Module, Node, Value, map_functions, rewrite
from ..ir.ops import Kind, record_of

_ROW_WISE = {Kind.ELEMENTWISE, Kind.ROW}


def select_rows_early(module: Module) -> tuple[Module, int]:
    """Move gathers up until they meet something that is no row-wise op."""
    total = 0
    while True:
        module, count = map_functions(module, lambda function: rewrite(function, _move_up))
        total += count
        if not count:
            return module, total


def _move_up(node: Node, context: Context) -> Iterable[Node] | None:
    if node.op != "gather_rows":
        return None
    source, rows = node.operands
    above = context.producer(source)
    if above is None or not _is_row_wise(above) or not context.has_one_use(source):
        return None
    gathers, operands = [], []
    for value in above.operands:
        if value.type.rank and value.shape[0] == source.shape[0]:
            gathers.append(_gather(value, rows, context))
            value = gathers[-1].result
        operands.append(value)
    return [*gathers, replace(above, operands=tuple(operands), results=node.results)]


def _is_row_wise(node: Node) -> bool:
    """Each result row depends on the same row of the operands that have rows."""
    result = node.results[0]
    same_rank = all(v.type.rank in (0, 1, result.type.rank) for v in node.operands)
    one = len(node.results) == 1 and result.type.rank > 1
    return record_of(node.op).kind in _ROW_WISE and one and same_rank


def _gather(value: Value, rows: Value, context: Context) -> Node:
    result = context.value(
        f"rows_of_{value.name}", value.type.with_shape(*rows.shape, *value.shape[1:])
    )
    return Node("gather_rows", (value, rows), {}, (result,))
