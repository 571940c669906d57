"""Tiles of products of many rows on Hopper whose blocks stay, as measured on an H200."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

WARPGROUPS = 3
PART = 64  # rows of a warpgroup
ROWS = WARPGROUPS * PART  # of a tile
COLUMNS = 256  # of a tile, of all weights
DEPTH = 64  # of K, of a step: 128 bytes, as rows lie in shared memory
SLOTS = 3  # steps on their way

_LEAST_STEPS = 8  # of a tile


@dataclass(frozen=True)
class Persistent:
    """Tiles of 192 x 256. ``group`` rows of them are walked together: what they read stays in the
    cache."""

    kind: ClassVar[str] = "persistent"
    group: int


PERSISTENT = Persistent(6)  # more is as fast in one run and slower by 3 % in another
PERSISTENT_FORMS = (PERSISTENT, Persistent(11), Persistent(22))


def persistent_refusals(
    form: Persistent, n: int, k: int, num_weights: int
) -> Iterable[tuple[bool, str]]:
    """What there may be against a form for weights [n, k], and whether it is so."""
    return (
        (form.group < 1, "a group has a row of tiles or more"),
        (num_weights > 2, "a tile has columns of one weight, or of two"),
        (n * num_weights % COLUMNS > 0, "the columns are no whole tiles"),
        (k % DEPTH > 0, "K is no whole steps"),
        (k < _LEAST_STEPS * DEPTH, "a tile has too few steps"),
    )
