"""Chooses the tiles of products by rules, as measured on an H100 and an H200."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...ir.types import DType
from .choice import Ruled
from .kernel import padded

NUM_MULTIPROCESSORS = 132  # of an H100 or H200
MOST = NUM_MULTIPROCESSORS * 2 // 3
SHARED_BYTES = 200 << 10  # of one of them, for the tiles of its blocks
MANY_ROWS = 8192  # what a step that may have any number of rows is taken for


@dataclass(frozen=True)
class Tile:
    """A block's share: ``rows`` of x by ``columns`` of the result, ``depth`` of K at a time.

    With ``splits``, so many blocks share a tile, each with a part of K: the last one to arrive adds
    up their sums, in order. With ``parts``, one block does that in turn. ``boxed``: x and the
    weights are read by `_box`.
    """

    rows: int
    columns: int
    depth: int
    num_warps: int
    num_stages: int
    splits: int = 1
    boxed: bool = False
    parts: int = 1


_BOXED = {
    Tile(128, 256, 64, 8, 3, boxed=True): 2.0,
    Tile(128, 128, 64, 4, 5, boxed=True): 1.08,
    Tile(64, 128, 64, 4, 4, boxed=True): 0.7,
}
"""Tiles of many rows, ``columns`` being those of all weights; and how long a wave of them takes."""


def choose_tile(rows: int | None, n: int, k: int, num_weights: int, dtype: DType) -> Ruled[Tile]:
    """The tile for up to ``rows`` rows.

    A row alone wants many small blocks. Tiles want to be large and to come in one wave, with much
    of their weights on the way; where there are too few, K is split.
    """
    if rows == 1:
        depth = min(padded(k, 16), 2048)
        tile = Tile(1, max(1, 4096 // depth // num_weights), depth, 4, 3)
        return Ruled(tile, "a row alone takes 4096 weights a block at a time", {})
    if dtype.itemsize > 2:
        return _plain_tile(rows, k, num_weights, 2, "numbers of twice the bytes")
    if rows is None or rows > 256:
        if k * dtype.itemsize % 16:
            return _plain_tile(rows, k, num_weights, 3, "no tensor map has rows that long")
        return _boxed_tile(rows, n, k, num_weights)
    return _one_wave(rows, n, k, num_weights)


def _plain_tile(rows: int | None, k: int, num_weights: int, stages: int, why: str) -> Ruled[Tile]:
    """For numbers of twice the bytes, or rows that are not aligned."""
    if rows is not None and rows <= 64:
        tile = Tile(padded(rows, 16), 32, min(padded(k, 16), 128), 4, stages)
    elif rows is not None and rows <= 256:
        tile = Tile(64, 64, min(padded(k, 16), 64), 4, stages)
    else:
        columns = 128 if num_weights == 1 else 64
        tile = Tile(128, columns, min(padded(k, 16), 64), 8, stages)
    return Ruled(tile, f"a plain tile: {why}", {})


def _boxed_tile(rows: int | None, n: int, k: int, num_weights: int) -> Ruled[Tile]:
    """The tile whose waves take the least time; of equal ones the largest."""

    def waves(tile: Tile) -> int:
        return -(-num_blocks(tile, rows or MANY_ROWS, n) // NUM_MULTIPROCESSORS)

    depth = min(padded(k, 16), 64)
    wave_times = {
        replace(tile, columns=tile.columns // num_weights, depth=depth): time
        for tile, time in _BOXED.items()
    }
    times = {tile: waves(tile) * time for tile, time in wave_times.items()}
    best = min(times, key=lambda tile: times[tile])
    others = {
        tile: f"{waves(tile)} waves take {time:.4g}, not less than {times[best]:.4g}"
        for tile, time in times.items()
        if tile != best
    }
    chosen = _split(best, rows, n, k) if rows else best
    return Ruled(chosen, f"{waves(best)} waves take the least, {times[best]:.4g}", others)


def _one_wave(rows: int, n: int, k: int, num_weights: int) -> Ruled[Tile]:
    choices = _few_rows(padded(rows, 16), num_weights) if rows <= 64 else _some_rows(num_weights)
    choices = [replace(tile, depth=min(tile.depth, padded(k, 16))) for tile in choices]
    if num_blocks(choices[0], rows, n) >= 4 * NUM_MULTIPROCESSORS:
        others = dict.fromkeys(choices[1:], "is for fewer columns")
        return Ruled(choices[0], "very many columns", others)
    # two products share x: better than to split
    whole = choices[1:] if num_weights > 1 else _whole_tiles(rows, k)
    tiles = [*whole, *(_split(tile, rows, n, k) for tile in choices[1:])]
    fitting = [tile for tile in tiles if _fills(tile, num_blocks(tile, rows, n), num_weights)]
    chosen = (fitting or tiles[-1:])[0]
    rule = "the first whose blocks fill waves" if fitting else "none fills a wave: the smallest"
    return Ruled(chosen, rule, _passed_over(chosen, tiles, fitting, rows, n))


def _passed_over(
    chosen: Tile, tiles: list[Tile], fitting: list[Tile], rows: int, n: int
) -> Mapping[Tile, str]:
    def reason(tile: Tile) -> str:
        if tile in fitting:
            return "fills waves too, but is smaller"
        return f"its {num_blocks(tile, rows, n)} blocks leave multiprocessors idle"

    return {tile: reason(tile) for tile in tiles if tile != chosen}


def _few_rows(rows: int, num_weights: int) -> list[Tile]:
    """Tiles of all rows: for very many columns, then the best first."""
    many = Tile(rows, 64, 128, 4, 3)
    small = Tile(rows, 32, 128, 4, 5 if rows <= 32 else 4)
    if num_weights > 1 or rows > 32:
        return [many, replace(many, num_stages=3 if rows * num_weights > 64 else 5), small]
    deep = Tile(rows, 32, 256, 4, 5)
    deepest = [replace(deep, columns=64)] if rows == 16 else []
    return [many, *deepest, deep, small]


def _some_rows(num_weights: int) -> list[Tile]:
    """Tiles of some of 256 rows: for very many columns, then the best first."""
    many, stages = Tile(128, 128, 64, 8, 3), 5 if num_weights == 1 else 3
    smallest = Tile(64, 64, 128 // num_weights, 4, stages)
    return [many, replace(many, num_stages=stages), Tile(64, 128, 64, 4, stages), smallest]


def _whole_tiles(rows: int, k: int) -> list[Tile]:
    """Tiles of one weight that are the best where their blocks fill a wave with K whole."""
    if k % 128 or rows <= 16 or 32 < rows <= 64:
        return []
    if rows <= 32:
        return [Tile(32, 64, 128, 4, 6)]
    return [Tile(128, 128, 64, 4, 5, boxed=True), Tile(64, 128, 128, 8, 4, boxed=True)]


def num_blocks(tile: Tile, rows: int, n: int) -> int:
    """Blocks of a product of ``rows`` rows."""
    return -(-n // tile.columns) * -(-rows // tile.rows) * tile.splits


def shared_bytes(tile: Tile, num_weights: int) -> int:
    """What a block has on the way, in numbers of 16 bits."""
    return (tile.rows + tile.columns * num_weights) * tile.depth * 2 * tile.num_stages


def _fills(tile: Tile, count: int, num_weights: int) -> bool:
    """Whether most multiprocessors have a block, and the last of several waves leaves few idle."""
    wave = NUM_MULTIPROCESSORS * max(1, SHARED_BYTES // shared_bytes(tile, num_weights))
    return MOST <= count <= wave or count >= 0.8 * wave * -(-count // wave)


def _split(tile: Tile, rows: int, n: int, k: int) -> Tile:
    """The tile with as few parts of K, all alike, as give most multiprocessors a block.

    What parts leave for the last of them to add up must stay small beside the weights.
    """
    most = 8 if rows <= 64 else k // min(16 * rows, 4096)
    while num_blocks(tile, rows, n) < MOST:
        more = replace(tile, splits=tile.splits * 2)
        if more.splits > most or k % (tile.depth * more.splits) or k < 2 * tile.depth * more.splits:
            break
        tile = more
    return tile
