"""Tiles of products whose sums have one order for any number of rows.

K is in the same parts for all, and every tile of 64 rows or more uses the same instruction, which
adds 16 of K at a time: depth and columns change no order.
"""

from __future__ import annotations

from dataclasses import replace

from ...ir.types import DType
from .choice import Ruled
from .kernel import padded
from .tiles import Tile, choose_tile

MIN_COLUMNS = 8192  # of all parts: with tiles of 64 columns, about a block a multiprocessor
MIN_PART = 256
MIN_ROWS = 64  # of a tile: so many make the instruction the same


def choose_invariant_tile(
    rows: int | None, n: int, k: int, num_weights: int, dtype: DType
) -> Ruled[Tile]:
    """The tile for up to ``rows`` rows; small steps split the parts over blocks, others do not."""
    parts = num_parts(n * num_weights, k)
    if rows is None or rows > 256:
        ruled = choose_tile(None, n, k, num_weights, dtype)
        others = {replace(tile, parts=parts): why for tile, why in ruled.others.items()}
        return Ruled(replace(ruled.chosen, parts=parts), ruled.rule, others)
    if dtype.itemsize > 2:  # whose steps registers hold
        tile = Tile(64, 64 // num_weights, 16, 8, 2, parts)
    elif rows > 64:
        tile = Tile(64, 64, min(padded(k, 16), 64), 4, 3, parts)
    else:
        tile = Tile(64, 64 // num_weights, min(padded(k, 16), 128), 4, 3, parts)
    return Ruled(tile, "the parts of K that all sizes of step have, side by side", {})


def num_parts(n: int, k: int) -> int:
    """Parts of K, all alike, so that a step of few rows has a block for each multiprocessor."""
    parts = 1
    while n * parts < MIN_COLUMNS and k % (parts * 2) == 0 and k // (parts * 2) % MIN_PART == 0:
        parts *= 2
    return parts
