"""The graph: values, nodes, functions, modules. Everything is immutable; passes build anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .types import Dim, DType, TensorType
from .weights import Weight

Attrs = Mapping[str, Any]
"""Attributes by name: bool, int, float, str, None, Dim, DType, and tuples of these."""


@dataclass(frozen=True)
class Value:
    """An SSA value: a name that is unique in its function, and a type."""

    name: str
    type: TensorType

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The type's shape."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The type's element type."""
        return self.type.dtype


@dataclass(frozen=True)
class Node:
    """One application of an op. ``origin`` is the source module's path, for messages only."""

    op: str
    operands: tuple[Value, ...]
    attrs: Attrs
    results: tuple[Value, ...]
    origin: str = field(default="", compare=False)

    @property
    def result(self) -> Value:
        """The only result."""
        assert len(self.results) == 1, f"{self.op} has {len(self.results)} results"
        return self.results[0]


@dataclass(frozen=True)
class Function:
    """Parameters, nodes in execution order, results. ``attrs`` describe it (a region's anchor)."""

    name: str
    params: tuple[Value, ...]
    nodes: tuple[Node, ...]
    results: tuple[Value, ...]
    attrs: Attrs = field(default_factory=dict)

    def producers(self) -> dict[Value, Node]:
        """The node that defines each value (parameters have none)."""
        return {value: node for node in self.nodes for value in node.results}

    def users(self) -> dict[Value, list[Node]]:
        """The nodes that read each value, in order; results of the function do not count."""
        users: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.operands):
                users.setdefault(value, []).append(node)
        return users

    def names(self) -> set[str]:
        """Every value name in use."""
        return {v.name for v in self.params} | {v.name for n in self.nodes for v in n.results}


@dataclass(frozen=True)
class Module:
    """Functions by name, entry functions among them, weights by name, at one level.

    ``attrs`` holds facts of the model: architecture, vocab_size, max_position_embeddings.
    """

    functions: Mapping[str, Function]
    entries: tuple[str, ...]
    weights: Mapping[str, Weight]
    level: str
    attrs: Attrs = field(default_factory=dict)

    def with_functions(self, *functions: Function) -> Module:
        """The module with these functions added or replaced."""
        return replace(self, functions=dict(self.functions) | {f.name: f for f in functions})

    def with_weights(self, *weights: Weight) -> Module:
        """The module with these weights added or replaced."""
        return replace(self, weights=dict(self.weights) | {w.name: w for w in weights})

    def __str__(self) -> str:
        from .printer import print_module

        return print_module(self)


class Names:
    """Hands out names that a function (or ``taken``) does not use yet."""

    def __init__(self, function: Function | None = None, taken: Iterable[str] = ()):
        self._used = (function.names() if function else set()) | set(taken)

    def fresh(self, stem: str) -> str:
        """``stem``, or ``stem_1``, ``stem_2``, ... when taken."""
        name, number = stem, 0
        while name in self._used:
            number += 1
            name = f"{stem}_{number}"
        self._used.add(name)
        return name


Rule = Callable[[Node, "Context"], Iterable[Node] | None]


@dataclass(frozen=True)
class Context:
    """What a rewrite rule may look at: the function, who defines and who reads each value."""

    function: Function
    producers: Mapping[Value, Node]
    users: Mapping[Value, list[Node]]
    names: Names

    def producer(self, value: Value, op: str | None = None) -> Node | None:
        """The node that defines ``value`` if there is one (and its op is ``op``)."""
        node = self.producers.get(value)
        return node if node and (op is None or node.op == op) else None

    def has_one_use(self, value: Value) -> bool:
        """True when exactly one node reads ``value`` and no function result is it."""
        return len(self.users.get(value, ())) == 1 and value not in self.function.results

    def value(self, stem: str, type: TensorType) -> Value:
        """A new value with a fresh name."""
        return Value(self.names.fresh(stem), type)


def context_of(function: Function) -> Context:
    """A Context for ``function``."""
    return Context(function, function.producers(), function.users(), Names(function))


def rewrite(function: Function, rule: Rule) -> tuple[Function, int]:
    """Replace each node for which ``rule`` gives nodes; these must define the node's results.

    Nodes that become dead stay until `drop_dead` removes them. Returns the count of rewrites.
    """
    context, nodes, count = context_of(function), [], 0
    for node in function.nodes:
        new = rule(node, context)
        nodes += [node] if new is None else list(new)
        count += new is not None
    return (replace(function, nodes=tuple(nodes)), count) if count else (function, 0)


def substitute(function: Function, values: Mapping[Value, Value]) -> Function:
    """Rename operands and results by ``values`` (chains are followed)."""

    def final(value: Value) -> Value:
        while value in values:
            value = values[value]
        return value

    nodes = tuple(replace(n, operands=tuple(map(final, n.operands))) for n in function.nodes)
    return replace(function, nodes=nodes, results=tuple(map(final, function.results)))


def drop_dead(function: Function) -> tuple[Function, int]:
    """Remove nodes whose results nobody reads."""
    live, kept = set(function.results), []
    for node in reversed(function.nodes):
        if any(value in live for value in node.results):
            live.update(node.operands)
            kept.append(node)
    count = len(function.nodes) - len(kept)
    return (replace(function, nodes=tuple(reversed(kept))), count) if count else (function, 0)


def map_functions(
    module: Module, change: Callable[[Function], tuple[Function, int]]
) -> tuple[Module, int]:
    """Apply ``change`` to every function; the counts add up."""
    pairs = [change(function) for function in module.functions.values()]
    count = sum(n for _, n in pairs)
    return (module.with_functions(*(f for f, _ in pairs)) if count else module), count
