"""Run equal layers, called one after another, by one `repeat` over the smallest period.

Before:
    module level=model
    weight @h.0.w f32[8] for 1 = checkpoint("h.0.w")
    weight @h.1.w f32[8] for 1 = checkpoint("h.1.w")

    entry @step(%x: f32[T, 8]) {
      %a: f32[T, 8] = repeat(%x)
        {carried = 1, count = 1, pattern = ["layer0"], weights = [["h.0.w"]]}
      %b: f32[T, 8] = repeat(%a)
        {carried = 1, count = 1, pattern = ["layer1"], weights = [["h.1.w"]]}
      return %b
    }

    func @layer0(%x: f32[T, 8], %w: f32[8]) {
      %y: f32[T, 8] = mul(%x, %w)
      return %y
    }

    func @layer1(%u: f32[T, 8], %w: f32[8]) {
      %v: f32[T, 8] = mul(%u, %w)
      return %v
    }

After:
    module level=model
    weight @layer0.w f32[8] for 2 = checkpoint("h.{i}.w")

    entry @step(%x: f32[T, 8]) {
      %b: f32[T, 8] = repeat(%x)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.w"]]}
      return %b
    }

    func @layer0(%x: f32[T, 8], %w: f32[8]) {
      %y: f32[T, 8] = mul(%x, %w)
      return %y
    }

Requires: layers are called by repeats of count 1.
Keeps: the order of layers. Layers are equal when their functions differ in names alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..ir.graph import Function, Module, Node, Value
from ..ir.ops import record_of
from ..ir.printer import print_attr, print_node
from ..ir.weights import Weight
from .base import Miss, Obstacle
from .unify import unify_programs

_ALONE = {"count": 1, "pattern": ("",)}
"""What `_is_chain` asks of calls that are not rolled yet."""


@dataclass(frozen=True)
class Run:
    """``count`` iterations of ``period`` calls, from the call ``start`` on."""

    start: int
    period: int
    count: int


def roll_layers(module: Module) -> tuple[Module, int]:
    """Roll the calls of every entry function; the count is the calls that went away."""
    count = 0
    for name in module.entries:
        calls = [n for n in module.functions[name].nodes if n.op == "repeat"]
        if len(calls) > 1 and _is_chain(calls):
            module, rolled = _roll(module, module.functions[name], calls)
            count += rolled
    return module, count


def missed_rolls(module: Module) -> Iterator[Miss]:
    """Calls of layers that no repeat of the calls before them covers."""
    for entry in map(module.functions.__getitem__, module.entries):
        calls = [node for node in entry.nodes if node.op == "repeat"]
        for before, call in zip(calls, calls[1:], strict=False):
            yield Miss.at(entry, call, _obstacle(before, call, module))


def _obstacle(before: Node, call: Node, module: Module) -> Obstacle:
    """What keeps two calls from being one."""
    if not _is_chain([replace(n, attrs=dict(n.attrs) | _ALONE) for n in (before, call)]):
        found = ", ".join(f"%{value.name}" for value in call.operands)
        return Obstacle("a layer takes what the one before gave, and what all share", found)
    names = [before.attrs["pattern"][-1], call.attrs["pattern"][0]]
    pair = [module.functions[name] for name in names]
    found = " and ".join(f"@{f.name} {line}" for f, line in zip(pair, _differ(*pair), strict=True))
    return Obstacle("layers are equal but for names, or come in equal periods", found)


def _differ(first: Function, second: Function) -> tuple[str, str]:
    """The nodes in which they differ first."""
    pairs = zip(_signed(first), _signed(second), strict=False)
    return next(((a[1], b[1]) for a, b in pairs if a[0] != b[0]), ("ends", "begins"))


def _signed(function: Function) -> list[tuple[str, str]]:
    """Each node's line of the signature, and its text."""
    lines = _signature(function).splitlines()[len(function.params) :]
    return list(zip(lines, map(print_node, function.nodes), strict=False))


def _is_chain(calls: Sequence[Node]) -> bool:
    """True when each call takes what the one before carried, all share the same operands."""
    first = calls[0].attrs["carried"]
    return all(
        call.attrs["count"] == 1
        and len(call.attrs["pattern"]) == 1
        and call.operands[:first] == before.results
        and call.operands[first:] == calls[0].operands[first:]
        for before, call in zip(calls, calls[1:], strict=False)
    )


def _roll(module: Module, entry: Function, calls: Sequence[Node]) -> tuple[Module, int]:
    functions = [module.functions[call.attrs["pattern"][0]] for call in calls]
    kinds = _kinds(functions)
    names = {kind: f"layer{number}" for number, kind in enumerate(dict.fromkeys(kinds))}
    runs = _runs(kinds)
    if len(runs) == len(calls) and len(names) == len({function.name for function in functions}):
        return module, 0
    families = _Families(module, functions, calls)
    nodes = [_call(calls, run, [names[kind] for kind in kinds], families) for run in runs]
    kept = {names[kind]: functions[kinds.index(kind)] for kind in names}
    old = {function.name for function in functions}
    others = {name: f for name, f in module.functions.items() if name not in old}
    own = {name for call in calls for name in call.attrs["weights"][0]}
    weights = {name: w for name, w in module.weights.items() if name not in own}
    body = _with_calls(entry, calls, nodes)
    layers = {name: replace(function, name=name) for name, function in kept.items()}
    all_functions = others | {entry.name: body} | layers
    module = replace(module, functions=all_functions, weights=weights | families.weights)
    return module, len(old) - len(names) + len(calls) - len(runs)


def _kinds(functions: Sequence[Function]) -> list[int]:
    """A number for each function; equal functions have the same."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(_signature(f), len(numbers)) for f in functions]


def _signature(function: Function) -> str:
    """The function's text with values numbered: equal for functions that differ in names alone."""
    numbers: dict[Value, int] = {}
    lines = [f"{numbers.setdefault(v, len(numbers))}: {v.type}" for v in function.params]
    for node in function.nodes:
        attrs = record_of(node.op).complete(node.attrs)
        literals = [f"{name}={print_attr(value)}" for name, value in sorted(attrs.items())]
        reads = [numbers[value] for value in node.operands]
        gives = [f"{numbers.setdefault(v, len(numbers))}: {v.type}" for v in node.results]
        lines.append(f"{gives} = {node.op}({reads}) {literals}")
    return "\n".join([*lines, str([numbers[value] for value in function.results])])


def _runs(kinds: Sequence[int]) -> list[Run]:
    """Cover the calls, from the first on, by the runs that reach furthest with least period."""
    runs: list[Run] = []
    at = 0
    while at < len(kinds):
        options = [Run(at, p, _iterations(kinds, at, p)) for p in range(1, len(kinds) - at + 1)]
        rolled = [run for run in options if run.count > 1]
        best = max(rolled, key=lambda run: (run.period * run.count, -run.period), default=None)
        runs.append(best or Run(at, 1, 1))
        at += runs[-1].period * runs[-1].count
    return runs


def _iterations(kinds: Sequence[int], at: int, period: int) -> int:
    pattern, count = kinds[at : at + period], 1
    while kinds[at + count * period : at + (count + 1) * period] == pattern:
        count += 1
    return count


class _Families:
    """Makes a family of weights for each weight of each place of a pattern."""

    def __init__(self, module: Module, functions: Sequence[Function], calls: Sequence[Node]):
        self.module, self.functions, self.calls = module, functions, calls
        self.weights: dict[str, Weight] = {}

    def of(self, run: Run, place: int, layer: str) -> tuple[str, ...]:
        """Names of the families of the function at ``place`` of the run's pattern."""
        members = [run.start + place + i * run.period for i in range(run.count)]
        each = [self.calls[member].attrs["weights"][0] for member in members]
        own = self.functions[members[0]].params[len(self.calls[0].operands) :]
        families = []
        for column, parameter in enumerate(own):
            name = self._unused(f"{layer}.{parameter.name}")
            weights = [self.module.weights[names[column]] for names in each]
            program = unify_programs([weight.program.at(0) for weight in weights])
            self.weights[name] = Weight(name, weights[0].type, program, run.count)
            families.append(name)
        return tuple(families)

    def _unused(self, name: str) -> str:
        stem, number = name, 1
        while name in self.weights:
            number += 1
            name = f"{stem}_{number}"
        return name


def _call(calls: Sequence[Node], run: Run, names: Sequence[str], families: _Families) -> Node:
    first, last = calls[run.start], calls[run.start + run.period * run.count - 1]
    pattern = tuple(names[run.start : run.start + run.period])
    weights = tuple(families.of(run, place, name) for place, name in enumerate(pattern))
    attrs = dict(first.attrs) | {"pattern": pattern, "count": run.count, "weights": weights}
    return replace(first, attrs=attrs, results=last.results)


def _with_calls(entry: Function, calls: Sequence[Node], nodes: Sequence[Node]) -> Function:
    """The entry function with ``nodes`` where the last of the calls each stands for was."""
    gone = {call.results for call in calls}
    new = {node.results: node for node in nodes}
    kept = [new.get(node.results, node) for node in entry.nodes]
    return replace(entry, nodes=tuple(n for n in kept if n.results in new or n.results not in gone))
