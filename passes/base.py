"""What a pass is: a pure function from a module to a module and a count of rewrites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..ir.graph import Module

Pass = Callable[[Module], tuple[Module, int]]


@dataclass(frozen=True)
class Stage:
    """A named run of passes. A pass whose result is at a new level says so in the module."""

    name: str
    passes: tuple[Pass, ...]


@dataclass(frozen=True)
class Report:
    """What one pass did: its stage, name and number of rewrites, and the module after it."""

    stage: str
    name: str
    rewrites: int
    module: Module
