"""Functions that carry the squares of rows from region to region: see `carry_squares`."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from ..ir.graph import Function, Names, Node, Value
from ..ir.ops import record_of
from .carried_places import Place, num_carried
from .fold_norms import norm_of
from .joined_regions import JoinedRegions

PART_COLUMNS = 64
"""Columns whose squares are one sum: no tile that makes rows may have fewer."""


class SquaresCarrier:
    """Carries the squares of the ``wanted`` places of a function to its ``takers``: calls, by their
    first results."""

    def __init__(
        self, function: Function, wanted: Set[Place], takers: Set[Place], joins: JoinedRegions
    ):
        self.function, self.wanted, self.takers, self.joins = function, wanted, takers, joins
        self.names, self.squares = Names(function), dict[Value, Value]()

    def carry(self) -> Function:
        """The function with what is carried, given and taken."""
        function, nodes = self.function, []
        end = num_carried(self.joins.module, function)
        columns = [i for i in range(end) if self._wants(function.params[i])]
        own = [self._of(function.params[i]) for i in columns]
        for node in function.nodes:
            if node.op == "repeat":
                node = self._through(node)
            elif node.op == "region":
                is_taker = (function.name, node.results[0]) in self.takers
                node = self._take(node) if is_taker else node
                for value in filter(self._wants, node.results):
                    node = self._give(node, value)
            nodes.append(node)
        return replace(
            function,
            params=(*function.params[:end], *own, *function.params[end:]),
            nodes=tuple(nodes),
            results=(*function.results, *(self._of(function.results[i]) for i in columns)),
        )

    def _wants(self, value: Value) -> bool:
        return (self.function.name, value) in self.wanted

    def _of(self, value: Value) -> Value:
        """The squares of a value of the function."""
        if value not in self.squares:
            name = self.names.fresh(f"{value.name}_squares")
            self.squares[value] = _squares_of(value, name)
        return self.squares[value]

    def _through(self, repeat: Node) -> Node:
        end = repeat.attrs["carried"]
        layer = self.joins.module.functions[repeat.attrs["pattern"][0]]
        columns = [i for i in range(end) if (layer.name, layer.params[i]) in self.wanted]
        first = [self._of(repeat.operands[i]) for i in columns]
        last = [self._of(repeat.results[i]) for i in columns]
        return replace(
            repeat,
            operands=(*repeat.operands[:end], *first, *repeat.operands[end:]),
            attrs=dict(repeat.attrs) | {"carried": end + len(columns)},
            results=(*repeat.results, *last),
        )

    def _give(self, call: Node, value: Value) -> Node:
        region, place = self.joins.region_of(call), call.results.index(value)
        words = (region.name, "squares", *([str(place)] if place else []))
        name = self.joins.join(words, lambda name: _giving(region, place, name))
        attrs, results = dict(call.attrs) | {"function": name}, (*call.results, self._of(value))
        return replace(call, attrs=attrs, results=results)

    def _take(self, call: Node) -> Node:
        region = self.joins.region_of(call)
        end = place_of_rows(region) + 1
        name = self.joins.join((region.name, "by_squares"), lambda name: _taking(region, name))
        operands = (*call.operands[:end], self._of(call.operands[end - 1]), *call.operands[end:])
        return replace(call, operands=operands, attrs=dict(call.attrs) | {"function": name})


def _squares_of(value: Value, name: str) -> Value:
    types = record_of("sum_squares").infer([value.type], {"width": PART_COLUMNS})
    return Value(name, types[0])


def _giving(region: Function, place: int, name: str) -> Function:
    """The region, also with the squares of one of its results."""
    rows = region.results[place]
    squares = _squares_of(rows, Names(region).fresh("squares"))
    node = Node("sum_squares", (rows,), {"width": PART_COLUMNS}, (squares,))
    nodes, results = (*region.nodes, node), (*region.results, squares)
    return replace(region, name=name, nodes=nodes, results=results)


def place_of_rows(region: Function) -> int:
    """Which parameter of a region the norm before its products reads."""
    norm = norm_of(region)
    assert norm is not None, f"{region.name} has no norm before a product"
    return region.params.index(norm.operands[0])


def _taking(region: Function, name: str) -> Function:
    """The region with a parameter more, after its rows: their squares."""
    norm, end = norm_of(region), place_of_rows(region) + 1
    assert norm is not None
    rows = norm.operands[0]
    squares = _squares_of(rows, Names(region).fresh("squares"))
    attrs = {"eps": norm.attrs["eps"]}
    scaling = replace(norm, op="norm_by_squares", operands=(rows, squares), attrs=attrs)
    nodes = tuple(scaling if node is norm else node for node in region.nodes)
    params = (*region.params[:end], squares, *region.params[end:])
    return replace(region, name=name, params=params, nodes=nodes)
