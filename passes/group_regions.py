"""Group nodes into regions, the units of code generation: one kernel launch each.

Before:
    module level=paged

    entry @step(%x: f32[T, 8], %w: f32[8, 8], %n: f32[8]) {
      %a: f32[T, 8] = rms_norm(%x, %n) {eps = 1e-06}
      %b: f32[T, 8] = linear(%a, %w)
      %c: f32[T, 8] = add(%x, %b)
      return %c
    }

After:
    module level=region

    entry @step(%x: f32[T, 8], %w: f32[8, 8], %n: f32[8]) {
      %a: f32[T, 8] = region(%x, %n) {function = "rms_norm"}
      %c: f32[T, 8] = region(%a, %w, %x) {function = "linear_add"}
      return %c
    }

    func @rms_norm(%x: f32[T, 8], %weight: f32[8]) {anchor = "rows"} {
      %rms_norm: f32[T, 8] = rms_norm(%x, %weight) {eps = 1e-06}
      return %rms_norm
    }

    func @linear_add(%x: f32[T, 8], %weight: f32[8, 8], %a: f32[T, 8]) {anchor = "linear"} {
      %linear: f32[T, 8] = linear(%x, %weight)
      %add: f32[T, 8] = add(%a, %linear)
      return %add
    }

Requires: level paged or placed.
Keeps: equal regions as one function, so that each distinct kernel is built once. A linear takes
the elementwise ops that alone read it, and a second linear of the same input that meets it there
(gate and up); row-wise ops take row-wise neighbours; sampling is one region; what writes a cache
stays before its readers.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Function, Module, Node, Value
from ..ir.ops import Kind, record_of
from .grouping import OUTSIDE, Group, Grouping, leading
from .region_functions import RegionFunctions


def group_regions(module: Module) -> tuple[Module, int]:
    """Group every function; the module is at level ``region`` afterwards."""
    if module.level == "region":
        return module, 0
    regions, functions = RegionFunctions(module.functions), []
    for function in module.functions.values():
        grouping = Grouping(function)
        _take_epilogues(grouping, function)
        _join_rows(grouping, function)
        _join_sampling(grouping)
        functions.append(_outline(function, grouping, regions))
    made = {f.name: f for f in (*functions, *regions.functions())}
    return replace(module, level="region", functions=made), len(regions.functions())


def _take_epilogues(grouping: Grouping, function: Function) -> None:
    """Append to each linear the elementwise ops that end in one value and alone read it."""
    for node in function.nodes:
        if node.op == "linear":
            for reader in _closed_readers(node, grouping, function):
                group, other = grouping.of[id(node)], grouping.of[id(reader)]
                if not (_can_pair(group, other) and grouping.merge(group, other, "linear")):
                    break


def _closed_readers(linear: Node, grouping: Grouping, function: Function) -> list[Node]:
    """The longest run of elementwise ops on the linear's result of which only the last is read
    outside; they have the result's shape."""
    values, run, closed = {linear.result}, [], 0
    for node in function.nodes:
        elementwise = record_of(node.op).kind is Kind.ELEMENTWISE
        if elementwise and node.result.shape == linear.result.shape:
            if values.isdisjoint(node.operands):
                continue
            run.append(node)
            inner, values = values, values | {node.result}
            readers = [r for value in inner for r in grouping.context.users.get(value, [])]
            returned = inner.intersection(function.results)
            closed = len(run) if not returned and all(r in run for r in readers) else closed
    return run[:closed]


def _can_pair(group: Group, other: Group) -> bool:
    """Two linears share a region when they read one input and have one shape, and are but two."""
    linears = [node for part in (group, other) for node in part.nodes if node.op == "linear"]
    shapes = {(node.operands[0], node.operands[1].type, len(node.operands)) for node in linears}
    return len(shapes) == 1 and len(linears) <= 2


def _join_rows(grouping: Grouping, function: Function) -> None:
    """Merge row-wise groups with those they read from, then with those that read the same."""
    for node in function.nodes:
        if grouping.is_free(node) or grouping.of[id(node)].anchor != "rows":
            continue
        for operand in node.operands:
            for _, maker in list(grouping.sources(operand)):
                if maker is not None:
                    _merge_rows(grouping, grouping.of[id(maker)], grouping.of[id(node)])
    for first in grouping.groups():
        for second in grouping.groups():
            if _meeting(grouping, first) & _meeting(grouping, second):
                _merge_rows(grouping, first, second)


def _join_sampling(grouping: Grouping) -> None:
    """Make one group of all that sampling does, so that it is done row by row."""
    groups = [group for group in grouping.groups() if group.anchor == "sample"]
    for group in groups[1:]:
        grouping.merge(groups[0], group, "sample")


def _merge_rows(grouping: Grouping, a: Group, b: Group) -> None:
    if a.anchor == b.anchor == "rows" and leading(a) == leading(b):
        grouping.merge(a, b, "rows")


def _meeting(grouping: Grouping, group: Group) -> set[Value]:
    """Where row-wise groups meet: in rows that a product makes, and in which rows they gather."""
    return _shared_rows(grouping, group) | {
        node.operands[1] for node in group.nodes if node.op == "gather_rows"
    }


def _shared_rows(grouping: Grouping, group: Group) -> set[Value]:
    """Hidden rows that a group reads and another group makes."""
    return {
        value
        for node in group.nodes
        for operand in node.operands
        for value, maker in grouping.sources(operand)
        if maker is not None and maker.op not in OUTSIDE and value.type.rank > 1
        if grouping.of[id(maker)].anchor == "linear"
    }


def _outline(function: Function, grouping: Grouping, regions: RegionFunctions) -> Function:
    """Replace each group by a call of its region function."""
    nodes = []
    for group in grouping.in_order():
        if group.anchor == "outside":
            nodes += group.nodes
        else:
            nodes.append(regions.call(group, grouping))
    return replace(function, nodes=tuple(nodes))
