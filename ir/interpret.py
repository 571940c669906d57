"""The reference interpreter: runs a module's records in plain torch. It is the definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .graph import Function, Module, Node, Value
from .ops import record_of
from .types import Dim

Watch = Callable[[str, Node, Sequence[Any]], None]
"""Called after each node with the function's name, the node and its results."""


class Interpreter:
    """Runs functions of ``module``. ``weights`` maps member names (``name`` or ``name/3``) to
    tensors; ``symbols`` gives T, S, R and P; caches are those of `cache`."""

    def __init__(
        self,
        module: Module,
        weights: Mapping[str, Any],
        symbols: Mapping[str, int],
        watch: Watch | None = None,
    ):
        self.module, self.weights, self.symbols, self.watch = module, weights, symbols, watch
        self.layer: int | None = None  # that is being run, from 0; None outside of all
        self._num_layers = 0  # that were begun

    def run(self, name: str, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Results of the function ``name``; arguments in the order of its parameters."""
        self._num_layers = 0
        return self._call(self.module.functions[name], arguments, self.symbols)

    def _call(
        self, function: Function, arguments: Sequence[Any], symbols: Mapping[str, int]
    ) -> tuple[Any, ...]:
        values: dict[Value, Any] = dict(zip(function.params, arguments, strict=True))
        for node in function.nodes:
            results = self._node(node, [values[value] for value in node.operands], symbols)
            values |= dict(zip(node.results, results, strict=True))
            if self.watch:
                self.watch(function.name, node, results)
        return tuple(values[value] for value in function.results)

    def _node(
        self, node: Node, operands: Sequence[Any], symbols: Mapping[str, int]
    ) -> tuple[Any, ...]:
        record = record_of(node.op)
        if node.op == "repeat":
            return self._repeat(record.complete(node.attrs), operands, symbols)
        attrs = {k: self.attribute(v, symbols) for k, v in record.complete(node.attrs).items()}
        if node.op == "weight":
            return (self.weights[attrs["name"]],)
        if node.op == "region":
            inner = dict(symbols) | ({} if attrs["layer"] is None else {"i": attrs["layer"]})
            return self.call_region(self.module.functions[attrs["function"]], operands, inner)
        return record.reference(operands, attrs)

    def attribute(self, value: Any, symbols: Mapping[str, int]) -> Any:
        """An attribute as a record takes it: with dims replaced by numbers."""
        return _concrete(value, symbols)

    def call_region(
        self, region: Function, operands: Sequence[Any], symbols: Mapping[str, int]
    ) -> tuple[Any, ...]:
        """Results of a region; another may come by them in another way."""
        return self._call(region, operands, symbols)

    def _repeat(
        self, attrs: Mapping[str, Any], operands: Sequence[Any], symbols: Mapping[str, int]
    ) -> tuple[Any, ...]:
        carried, shared = tuple(operands[: attrs["carried"]]), tuple(operands[attrs["carried"] :])
        for name, families, index, iteration in steps_of_repeat(attrs):
            self.layer, self._num_layers = self._num_layers, self._num_layers + 1
            own = [self.weights[f"{family}/{iteration}"] for family in families]
            function = self.module.functions[name]
            arguments = [*carried, *shared, *own]
            carried = self._call(function, arguments, dict(symbols) | {"i": index})
        self.layer = None
        return carried


def steps_of_repeat(attrs: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    """(function, weight families, value of ``i`` in it, iteration) of each call, in order."""
    places = attrs["index"] or (Dim.of("i"),) * len(attrs["pattern"])
    first = attrs["first"]
    for iteration in range(first, first + attrs["count"]):
        for name, families, place in zip(attrs["pattern"], attrs["weights"], places, strict=True):
            yield name, families, place.evaluate({"i": iteration}), iteration


def _concrete(value: Any, symbols: Mapping[str, int]) -> Any:
    """Attributes with dims replaced by numbers."""
    if isinstance(value, Dim):
        return value.evaluate(symbols)
    if isinstance(value, tuple):
        return tuple(_concrete(item, symbols) for item in value)
    return value


def first_difference(
    module: Module,
    weights: Mapping[str, Any],
    symbols: Mapping[str, int],
    arguments: Sequence[Any],
    found: Callable[[str, Node, Sequence[Any]], bool],
) -> tuple[str, Node] | None:
    """The first node, in execution order, for which ``found`` says that results differ.

    ``found(function, node, results)`` compares the reference's results with those of another
    backend at the same point. This is how a wrong kernel is bisected to its op.
    """
    hits: list[tuple[str, Node]] = []

    def watch(function: str, node: Node, results: Sequence[Any]) -> None:
        if not hits and found(function, node, results):
            hits.append((function, replace(node)))

    Interpreter(module, weights, symbols, watch).run(module.entries[0], arguments)
    return hits[0] if hits else None
