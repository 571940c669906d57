"""What a pass is: a pure function from a module to a module and a count of rewrites."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..ir.graph import Context, Function, Module, Node, Value
from ..ir.printer import print_node

Pass = Callable[[Module], tuple[Module, int]]


@dataclass(frozen=True)
class Stage:
    """A named run of passes. A pass whose result is at a new level says so in the module."""

    name: str
    passes: tuple[Pass, ...]


@dataclass(frozen=True)
class Obstacle:
    """Why a rule does not apply: the predicate that failed, and what was found instead."""

    predicate: str  # what must hold, as a sentence
    found: str

    def __str__(self) -> str:
        return f"wanted that {self.predicate}, found: {self.found}"


@dataclass(frozen=True)
class Miss:
    """A place that a pass looked at and left as it was."""

    function: str
    value: str  # the first result of the node that stayed
    origin: str  # that node's path in the source module
    obstacle: Obstacle

    def __str__(self) -> str:
        origin = f" ({self.origin})" if self.origin else ""
        return f"%{self.value} of @{self.function}{origin}: {self.obstacle}"

    @staticmethod
    def at(function: Function, node: Node, obstacle: Obstacle) -> Miss:
        """The miss of a node."""
        return Miss(function.name, node.results[0].name, node.origin, obstacle)


Explain = Callable[[Module], Iterable[Miss]]
"""Finds what a pass left in the module that it gave."""


def made_by(value: Value, context: Context) -> str:
    """A value as IR text: how it is made, or its type where it is a parameter."""
    maker = context.producer(value)
    return print_node(maker) if maker else f"%{value.name}: {value.type}"


@dataclass(frozen=True)
class Report:
    """What one pass did: its stage, name, number of rewrites, the module after it, its misses."""

    stage: str
    name: str
    rewrites: int
    module: Module
    misses: tuple[Miss, ...] = ()
