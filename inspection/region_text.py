"""Reads names and types out of a region's IR text, which the manifest has of every kernel."""

import re
from typing import NamedTuple

from ..artifact import Operand

_HEAD = re.compile(r"^(?:func|entry) @[^(]*\((.*)\)", re.MULTILINE)
_STATEMENT = re.compile(r"^ *(%[^=]+?) = ", re.MULTILINE)
_VALUE = re.compile(r"%([^ :,]+): ([a-z0-9]+\[[^\]]*\])")
_RETURN = re.compile(r"^ *return (.*)$", re.MULTILINE)


class NamedValue(NamedTuple):
    """A value of a region; its type is IR text, empty where that is not told."""

    name: str
    type: str


class RegionText:
    """Parameters and results of a region, in order. Of a text that is no IR it has none."""

    def __init__(self, math: str) -> None:
        head, returned = _HEAD.search(math), _RETURN.search(math)
        self.params = [NamedValue(*found) for found in _VALUE.findall(head[1] if head else "")]
        types = dict(self.params) | {
            name: kind
            for statement in _STATEMENT.finditer(math)
            for name, kind in _VALUE.findall(statement[1])
        }
        names = re.findall(r"%([^ ,]+)", returned[1]) if returned else []
        self.results = [NamedValue(name, types.get(name, "")) for name in names]

    def value(self, operand: Operand) -> NamedValue:
        """What a buffer of a kernel is called in the region; workspaces have numbers alone."""
        known = {"param": self.params, "result": self.results}.get(operand.kind, [])
        if isinstance(operand.place, int) and operand.place < len(known):
            return known[operand.place]
        if operand.kind == "input":
            return NamedValue(str(operand.place), "")
        return NamedValue(f"{operand.kind} {operand.place}", "")
