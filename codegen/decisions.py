"""Makes the record `passes.json` of the reports of a build's passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..artifact.passes import Change, Miss, Pass, Passes
from ..ir.graph import Function, Module, Node
from ..ir.ops import Kind, record_of
from ..ir.printer import print_function, print_head
from ..ir.types import Dim
from ..passes import base as passes
from ..passes.grouping import FREE
from ..passes.layer_weights import layer_names
from .cpp.cost import region_bytes

_GENERIC = {Kind.ELEMENTWISE, Kind.REDUCTION, Kind.LAYOUT}

_UNCOUNTED = {"weight", "repeat", *FREE}

_EMPTY = Module({}, (), {}, "traced")


def record_passes(reports: Sequence[passes.Report]) -> Passes:
    """What each pass did: the functions that it changed, what a step takes then, its misses."""
    modules = [_EMPTY, *(report.module for report in reports)]
    return Passes(
        passes=[_record(r, before) for r, before in zip(reports, modules, strict=False)],
        layers=layer_names(modules[-1]),
        fallbacks=[name for name, f in modules[-1].functions.items() if _is_fallback(f)],
        peeled={
            name: str(function.attrs["peeled_from"])
            for name, function in modules[-1].functions.items()
            if "peeled_from" in function.attrs
        },
    )


def _record(report: passes.Report, before: Module) -> Pass:
    module = report.module
    launches, moved = _cost_of_step(module)
    head = print_head(module)
    return Pass(
        stage=report.stage,
        name=report.name,
        rewrites=report.rewrites,
        launches=launches,
        bytes=moved.to_json(),
        misses=[_miss(miss) for miss in report.misses],
        head=head if head != print_head(before) else None,
        order=[*module.functions] if report.rewrites else [],
        changes=_changes(before, module) if report.rewrites else {},
    )


def _miss(miss: passes.Miss) -> Miss:
    return Miss(
        function=miss.function,
        value=miss.value,
        origin=miss.origin,
        predicate=miss.obstacle.predicate,
        found=miss.obstacle.found,
    )


def _changes(before: Module, after: Module) -> dict[str, Change]:
    changes = {}
    for name, function in after.functions.items():
        old = before.functions.get(name)
        came_from = old or before.functions.get(str(function.attrs.get("peeled_from")))
        if function == old and _kind(before, name) == _kind(after, name):
            continue
        launches, moved = _cost(after, function)
        changes[name] = Change(
            text=print_function(function, _kind(after, name)),
            is_region="anchor" in function.attrs,
            ops=_more_ops(came_from, function),
            launches=launches,
            bytes=moved.to_json(),
        )
    return changes


def _is_fallback(function: Function) -> bool:
    """Whether a region is pointwise work and reductions alone, which no op stands for."""
    kinds = {record_of(node.op).kind for node in function.nodes}
    return function.attrs.get("anchor") == "rows" and kinds <= _GENERIC


def _kind(module: Module, name: str) -> str:
    return "entry" if name in module.entries else "func"


def _more_ops(before: Function | None, after: Function) -> dict[str, int]:
    count = Counter(node.op for node in after.nodes)
    count.subtract(node.op for node in (before.nodes if before else ()))
    return {op: more for op, more in sorted(count.items()) if more}


Cost = tuple[int, Dim]
"""Launches and bytes of a call."""


def _cost(module: Module, function: Function) -> Cost:
    """With each node that moves data a kernel of its own, without the layers that it calls."""
    if "anchor" in function.attrs:
        return 1, region_bytes(function)
    return _sum(_node_cost(module, node) for node in function.nodes)


def _node_cost(module: Module, node: Node) -> Cost:
    if node.op == "region":
        return _cost(module, module.functions[node.attrs["function"]])
    if node.op in _UNCOUNTED:
        return 0, Dim()
    operands = tuple(dict.fromkeys(node.operands))
    return 1, region_bytes(Function("", operands, (node,), node.results))


def _cost_of_step(module: Module) -> Cost:
    """Of all entries with their layers."""
    counts = Counter([*module.entries, *layer_names(module)])
    costs = {name: _cost(module, module.functions[name]) for name in counts}
    return _sum((costs[n][0] * count, costs[n][1] * count) for n, count in counts.items())


def _sum(costs: Iterable[Cost]) -> Cost:
    parts = list(costs)
    return sum(part[0] for part in parts), sum((part[1] for part in parts), Dim())
