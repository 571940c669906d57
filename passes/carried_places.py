"""Where a value that repeated layers carry is: in each layer, and in what calls them."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.graph import Function, Module, Node, Value
from .layer_weights import repeats_of

Place = tuple[str, Value]
"""A function's name and a value in it."""


def places_of(module: Module, place: Place) -> set[Place]:
    """The place, and if layers carry its value, all that the value comes from over the layers."""
    found, stack = set[Place](), [place]
    while stack:
        place = stack.pop()
        if place not in found:
            found.add(place)
            stack += _needed(module, place)
    return found


def _needed(module: Module, place: Place) -> Iterator[Place]:
    function, value = module.functions[place[0]], place[1]
    if value in function.params:
        for caller, repeat in repeats_of(module, function.name):
            yield from _column(module, caller, repeat, function.params.index(value))
    else:
        maker = function.producers()[value]
        if maker.op == "repeat":
            yield from _column(module, function, maker, maker.results.index(value))


def _column(module: Module, caller: Function, repeat: Node, column: int) -> Iterator[Place]:
    """One of the values that a repeat carries: the first, and what each layer takes and gives."""
    if column < repeat.attrs["carried"]:
        yield caller.name, repeat.operands[column]
        for layer in (module.functions[name] for name in repeat.attrs["pattern"]):
            yield layer.name, layer.params[column]
            yield layer.name, layer.results[column]


def num_carried(module: Module, function: Function) -> int:
    """How many of a layer's first parameters are carried; none of another function's."""
    return min((r.attrs["carried"] for _, r in repeats_of(module, function.name)), default=0)
