"""Gather the rows that are wanted before row-wise work instead of after it.

Before:
    module level=paged

    entry @step(%x: f32[T, 8], %h: f32[T, 8], %w: f32[8, 8], %rows: i32[R]) {
      %y: f32[T, 8] = linear(%x, %w)
      %z: f32[T, 8] = add(%h, %y)
      %n: f32[T, 8] = rms_norm(%z) {eps = 1e-06}
      %sum: f32[T, 8] = add(%n, %z)
      %last: f32[R, 8] = gather_rows(%sum, %rows)
      return %last
    }

After:
    module level=paged

    entry @step(%x: f32[T, 8], %h: f32[T, 8], %w: f32[8, 8], %rows: i32[R]) {
      %rows_of_x: f32[R, 8] = gather_rows(%x, %rows)
      %y: f32[R, 8] = linear(%rows_of_x, %w)
      %rows_of_h: f32[R, 8] = gather_rows(%h, %rows)
      %z: f32[R, 8] = add(%rows_of_h, %y)
      %n: f32[R, 8] = rms_norm(%z) {eps = 1e-06}
      %last: f32[R, 8] = add(%n, %z)
      return %last
    }

Requires: nothing.
Keeps: what is read by others too, and all that it is made of; rows that the function computes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from ..ir.graph import Context, Function, Module, Node, Value, context_of, map_functions, substitute
from ..ir.ops import Kind, record_of
from .base import Miss, Obstacle, made_by

_WITH_ROWS = {"linear": 1, "experts": 3, "reshape": 1}
"""Ops whose first operands, so many, have a row for each row of the result, whatever the ranks; of
reshapes, those that leave the rows alone."""


def select_rows_early(module: Module) -> tuple[Module, int]:
    """Move gathers above the work that they alone read; the count is the ops below them then."""
    return map_functions(module, _select)


def missed_rows(module: Module) -> Iterator[Miss]:
    """Gathers that stayed after row-wise work."""
    for function in module.functions.values():
        context = context_of(function)
        for node in filter(_is_gather, function.nodes):
            above = context.producer(node.operands[0])
            if above is not None and is_row_wise(above):
                obstacle = _obstacle(above, context, [node])
                rows = made_by(node.operands[1], context)
                wanted = "which rows are wanted is an input"
                stayed = replace(node, origin=above.origin)  # gathers of passes have none
                yield Miss.at(function, stayed, obstacle or Obstacle(wanted, rows))


def _select(function: Function) -> tuple[Function, int]:
    """For all rows that gathers take, one after another."""
    count = 0
    taken = dict.fromkeys(n.operands[1] for n in function.nodes if _is_gather(n))
    for rows in (value for value in taken if value in function.params):
        context = context_of(function)
        readers = [n for n in function.nodes if _is_gather(n) and n.operands[1] == rows]
        for node in reversed(function.nodes):
            if is_row_wise(node) and not _obstacle(node, context, readers):
                readers.append(node)
        work = [node for node in readers if not _is_gather(node)]
        if work:
            function, count = _Below(work, rows, context).function(), count + len(work)
    return function, count


def is_row_wise(node: Node) -> bool:
    """Whether a row of an op's results depends on the same row of its operands alone."""
    return _row_operands(node) is not None


def _is_gather(node: Node) -> bool:
    return node.op == "gather_rows"


def _row_operands(node: Node) -> list[Value] | None:
    """The operands of which a row-wise op takes the same rows as it gives; None for others."""
    num_rows = node.results[0].type.shape[:1]
    if node.op in _WITH_ROWS:
        taken = node.operands[: _WITH_ROWS[node.op]]
        return list(taken) if all(v.type.shape[:1] == num_rows for v in taken) else None
    if record_of(node.op).kind not in (Kind.ELEMENTWISE, Kind.ROW):
        return None
    return [value for value in node.operands if value.type.shape[:1] == num_rows]


def _obstacle(node: Node, context: Context, readers: Collection[Node]) -> Obstacle | None:
    """What keeps a row-wise op, whose rows ``readers`` may read, above their gathers."""
    read = [user for value in node.results for user in context.users.get(value, [])]
    others = [user.op for user in read if user not in readers]
    others += ["return" for value in node.results if value in context.function.results]
    if others or not read:
        return Obstacle("gathers alone read the rows", f"read by {', '.join(others) or 'nobody'}")
    types = [value.type for value in (*node.operands, *node.results)]
    ranks = {type.rank for type in types if type.shape[:1] == types[-1].shape[:1]}
    if node.op not in _WITH_ROWS and (len(ranks) > 1 or ranks & {0, 1}):
        found = f"{node.op} of {', '.join(map(str, types))}"
        return Obstacle("what has rows has the rank of the result, and another axis", found)
    return None


class _Below:
    """A function whose ``work`` is below its gathers of ``rows``."""

    def __init__(self, work: list[Node], rows: Value, context: Context) -> None:
        self._work, self._rows, self._context = work, rows, context
        self._made = {value for node in work for value in node.results}
        self._nodes: list[Node] = []
        self._rows_of = dict[Value, Value]()  # in place of values with more
        self._twins = dict[Value, Value]()  # gathers of the same

    def function(self) -> Function:
        """With gathers of what the work reads, in place of those of what it gives."""
        gathers = [node for node in self._context.function.nodes if self._is_served(node)]
        for node in gathers:
            first = self._rows_of.setdefault(node.operands[0], node.result)
            if first != node.result:
                self._twins[node.result] = first
        for node in self._context.function.nodes:
            if node in self._work:
                self._nodes.append(self._with_rows(node))
            elif node not in gathers:
                self._nodes.append(node)
        return substitute(replace(self._context.function, nodes=tuple(self._nodes)), self._twins)

    def _is_served(self, node: Node) -> bool:
        return (
            _is_gather(node) and node.operands[1] == self._rows and node.operands[0] in self._made
        )

    def _with_rows(self, node: Node) -> Node:
        taken = _row_operands(node) or []
        operands = tuple(self._gathered(v) if v in taken else v for v in node.operands)
        attrs, results = dict(node.attrs), tuple(map(self._gathered, node.results))
        if node.op == "reshape":
            attrs["shape"] = results[0].shape
        return replace(node, operands=operands, attrs=attrs, results=results)

    def _gathered(self, value: Value) -> Value:
        """The rows of a value: the work makes them, or a new gather."""
        if value not in self._rows_of:
            type = value.type.with_shape(*self._rows.shape, *value.shape[1:])
            if value in self._made:
                self._rows_of[value] = Value(value.name, type)
            else:
                self._rows_of[value] = new = self._context.value(f"rows_of_{value.name}", type)
                self._nodes.append(Node("gather_rows", (value, self._rows), {}, (new,)))
        return self._rows_of[value]
