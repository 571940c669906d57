"""Prints any element of a region by walking from its value up to the region's parameters.

What the emitters have alike: each value that is needed at a place is printed there once, and layout
ops cost nothing, for they change indices. A language says how it loads, computes and binds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from ..ir.graph import Function, Node, Value
from ..ir.ops import Kind, record_of
from ..ir.ops.elementwise import operand_names
from ..ir.types import Dim
from .indices import I
from .reshape import number
from .scalars import ScalarPrinter


class ElementWalk(ABC, Generic[I]):
    """Elements of the values of ``function``.

    ``given`` are values that the kernel has at hand, such as a product's sums. In a scope, each
    element is printed once.
    """

    expression: ClassVar[ScalarPrinter]
    zero: ClassVar[Any]  # the index 0

    def __init__(self, function: Function) -> None:
        self.function = function
        self.producers = function.producers()
        self.given: dict[Value, Callable[[tuple[I, ...]], str]] = {}
        self.known: dict[tuple[object, tuple[I, ...]], str] = {}
        self.count = 0

    def at(self, value: Value, indices: Sequence[I]) -> str:
        """The variable that holds ``value[indices]``."""
        key = (value, tuple(indices))
        if key not in self.known:
            self.known[key] = self.bound(value, self._print(value, key[1]))
        return self.known[key]

    def broadcast(self, value: Value, indices: Sequence[I]) -> tuple[I, ...]:
        """Indices into an operand that is broadcast: axes of size 1 read place 0."""
        own = indices[len(indices) - value.type.rank :]
        return tuple(
            self.zero if number(d) == 1 else index
            for d, index in zip(value.shape, own, strict=True)
        )

    @abstractmethod
    def bound(self, value: Value, text: str) -> str:
        """A variable for an element of a value."""

    @abstractmethod
    def load(self, value: Value, indices: tuple[I, ...]) -> str:
        """An element of a parameter."""

    @abstractmethod
    def cast(self, operand: Value, result: Value, variable: str) -> str:
        """An element in another type."""

    @abstractmethod
    def integer_at(self, value: Value, indices: tuple[I, ...]) -> I:
        """An element as an index that reads rows of a table."""

    @abstractmethod
    def reshaped(
        self, indices: tuple[I, ...], result: Sequence[Dim], operand: Sequence[Dim]
    ) -> tuple[I, ...]:
        """Indices into an operand of those of its reshape."""

    @abstractmethod
    def chosen(self, node: Node, indices: tuple[I, ...], bounds: Sequence[int]) -> str:
        """An element of what is joined along an axis, at a place that is only known when run."""

    @abstractmethod
    def other(self, node: Node, indices: tuple[I, ...]) -> str:
        """An element of an op that each language has its own way with."""

    def _print(self, value: Value, indices: tuple[I, ...]) -> str:
        if value in self.given:
            return self.given[value](indices)
        node = self.producers.get(value)
        if node is None:
            return self.load(value, indices)
        if record_of(node.op).kind is Kind.ELEMENTWISE:
            return self._elementwise(node, indices)
        printer = _PRINTERS.get(node.op)
        return printer(self, node, indices) if printer else self.other(node, indices)

    def _elementwise(self, node: Node, indices: tuple[I, ...]) -> str:
        variables = [self.at(v, self.broadcast(v, indices)) for v in node.operands]
        if node.op == "cast":
            return self.cast(node.operands[0], node.result, variables[0])
        scalar = record_of(node.op).scalar or ""
        named = dict(zip(operand_names(scalar), variables, strict=True))
        return self.expression.text(scalar, named)


def with_index(indices: tuple[I, ...], axis: int, index: I) -> tuple[I, ...]:
    """The indices with another one along an axis."""
    return (*indices[:axis], index, *indices[axis + 1 :])


def _constant(walk: ElementWalk[I], node: Node, indices: tuple[I, ...]) -> str:
    return walk.expression.number(float(node.attrs["value"]))


def _reshape(walk: ElementWalk[I], node: Node, indices: tuple[I, ...]) -> str:
    operand = node.operands[0]
    return walk.at(operand, walk.reshaped(indices, node.result.shape, operand.shape))


def _transpose(walk: ElementWalk[I], node: Node, indices: tuple[I, ...]) -> str:
    source = [walk.zero] * len(indices)
    for axis, origin in enumerate(node.attrs["permutation"]):
        source[origin] = indices[axis]
    return walk.at(node.operands[0], source)


def _slice(walk: ElementWalk[I], node: Node, indices: tuple[I, ...]) -> str:
    axis = node.attrs["axis"]
    place = indices[axis].times(node.attrs.get("step", 1)).plus(node.attrs["start"])
    return walk.at(node.operands[0], with_index(indices, axis, place))


def _broadcast(walk: ElementWalk[I], node: Node, indices: tuple[I, ...]) -> str:
    return walk.at(node.operands[0], walk.broadcast(node.operands[0], indices))


def _gather(walk: ElementWalk[I], node: Node, indices: tuple[I, ...]) -> str:
    table, rows = node.operands
    return walk.at(table, (walk.integer_at(rows, indices[:1]), *indices[1:]))


def _concat(walk: ElementWalk[I], node: Node, indices: tuple[I, ...]) -> str:
    axis, bounds = node.attrs["axis"], [0]
    for operand in node.operands:
        bounds.append(bounds[-1] + number(operand.shape[axis]))
    piece = indices[axis].piece(bounds)
    if piece is None:
        return walk.chosen(node, indices, bounds)
    inside = indices[axis].plus(-bounds[piece])
    return walk.at(node.operands[piece], with_index(indices, axis, inside))


_PRINTERS: Mapping[str, Callable[[ElementWalk[Any], Node, tuple[Any, ...]], str]] = {
    "constant": _constant,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "broadcast": _broadcast,
    "gather_rows": _gather,
    "concat": _concat,
}
