"""Builds region functions from groups; equal groups share one function."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..ir.graph import Function, Names, Node, Value
from ..ir.ops import Kind, record_of
from ..ir.printer import print_function
from ..ir.types import Dim
from .grouping import Group, Grouping

_MAX_WORDS = 4


class RegionFunctions:
    """The region functions of a module, by their text; ``taken`` are names of other functions."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._by_text: dict[str, Function] = {}
        self._names = Names(taken=taken)

    def functions(self) -> list[Function]:
        """In the order in which they were first called."""
        return list(self._by_text.values())

    def call(self, group: Group, grouping: Grouping) -> Node:
        """The `region` node that runs ``group``."""
        results = _results(group, grouping)
        body = _Body(group, grouping)
        for node in group.nodes:
            body.copy(node)
        function = Function(
            "",
            tuple(body.parameters.values()),
            tuple(body.nodes),
            tuple(body.values[value] for value in results),
            {"anchor": group.anchor},
        )
        name = self._name(function)
        layers = {node.attrs["layer"] for node in group.nodes if "layer" in node.attrs}
        attrs = {"function": name} | ({"layer": layers.pop()} if layers else {})
        return Node("region", tuple(body.parameters), attrs, tuple(results), group.nodes[0].origin)

    def _name(self, function: Function) -> str:
        text = print_function(function)
        if text not in self._by_text:
            words = [n.op for n in function.nodes if record_of(n.op).kind is not Kind.LAYOUT]
            stem = "_".join(list(dict.fromkeys(w for w in words if w != "cast"))[:_MAX_WORDS])
            name = self._names.fresh(stem or "move")
            self._by_text[text] = replace(function, name=name)
        return self._by_text[text].name


def _results(group: Group, grouping: Grouping) -> list[Value]:
    """Values of the group that other groups or the function's results read."""
    own = {value for node in group.nodes for value in node.results}
    wanted = {
        value
        for result in grouping.context.function.results
        for value, _ in grouping.sources(result)
    }
    for other in grouping.groups():
        if other is not group:
            for node in other.nodes:
                wanted.update(v for x in node.operands for v, _ in grouping.sources(x))
    return [v for node in group.nodes for v in node.results if v in own & wanted]


@dataclass
class _Body:
    """Copies nodes into a region function under canonical names."""

    group: Group
    grouping: Grouping
    parameters: dict[Value, Value] = field(default_factory=dict)
    values: dict[Value, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    names: Names = field(default_factory=Names)

    def copy(self, node: Node) -> Node:
        """``node`` over values of the body; free nodes it reads are copied before it."""
        roles = _roles(node)
        operands = tuple(map(self._value, node.operands, roles))
        attrs = dict(node.attrs)
        if "layer" in attrs:
            attrs["layer"] = Dim.of("i")
        results = tuple(self._own(value, node.op) for value in node.results)
        copied = Node(node.op, operands, attrs, results, node.origin)
        self.nodes.append(copied)
        return copied

    def _own(self, value: Value, stem: str) -> Value:
        self.values[value] = Value(self.names.fresh(stem), value.type)
        return self.values[value]

    def _value(self, value: Value, role: str) -> Value:
        if value in self.values:
            return self.values[value]
        maker = self.grouping.context.producer(value)
        if maker is not None and self.grouping.is_free(maker):
            return self.copy(maker).result
        parameter = self._own(value, role)
        self.parameters[value] = parameter
        return parameter


def _roles(node: Node) -> list[str]:
    """Names of a node's operands, from its record."""
    names = [name.rstrip("?*") for name in record_of(node.op).operands]
    return names + names[-1:] * (len(node.operands) - len(names))
