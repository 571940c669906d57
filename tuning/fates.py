"""What became of kernels with a candidate that was faster alone: a journal tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal, TypeAlias

from ..artifact.tuning_table import Key
from .journal import Dropped, Found, Kept, Line

Fate: TypeAlias = Literal["kept", "not confirmed", "taken back", "waiting"]
"""Waiting is for whole steps to decide."""


def fates_of(lines: Iterable[Line], kept: Collection[Key]) -> Counter[Fate]:
    """Counts kernels and shapes; ``kept`` are those that have an entry now."""
    fates: dict[Key, Fate] = {}
    for line in lines:
        if isinstance(line, Kept):
            continue
        if isinstance(line, Dropped):
            for key in [key for key in fates if key.steps == line.steps]:
                fates[key] = "taken back" if fates[key] == "waiting" else fates[key]
        elif isinstance(line, Found):
            fates[line.entry.key] = "waiting"
        elif line.outcome == "faster" and fates.get(line.key) != "waiting":
            fates[line.key] = "not confirmed"
    return Counter("kept" if key in kept else fate for key, fate in fates.items())
