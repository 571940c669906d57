"""Chooses the tiles of products by rules, as measured on an H100 and an H200."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import ClassVar

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

    kind: ClassVar[str] = "tile"
    rows: int
    columns: int
    depth: int
    num_warps: int
    num_stages: int
    splits: int = 1
    boxed: bool = False
    parts: int = 1


_BOXED = {
    Tile(128, 256, 64, 8, 4, boxed=True): 12.5,
    Tile(128, 128, 64, 4, 5, boxed=True): 6.5,
    Tile(64, 128, 128, 4, 4, boxed=True): 3.7,
    Tile(64, 64, 128, 4, 4, boxed=True): 2.7,
}
"""Tiles of more than 64 rows, ``columns`` being those of all weights; and the microseconds that a
wave of them takes for 1024 of K."""

_VECTOR_DEPTH = 2048  # of a row alone
_NARROW = 4 / 3  # as long take 64 rows of two weights: an instruction has half of the columns
_MEETING = 4.0  # microseconds until the last of the blocks that share a tile knows that it is
_ADDING = 0.1  # microseconds for 1024 sums of theirs
_LEAST_PART = 512  # of K


def choose_tile(
    rows: int | None, n: int, k: int, num_weights: int, dtype: DType, least_columns: int = 1
) -> Ruled[Tile]:
    """The tile for up to ``rows`` rows; but for a row alone, of ``least_columns`` or more.

    A row alone wants many small blocks. Tiles of few rows want to come in one wave, with much of
    their weights on the way; of many rows, to take the least time by waves. Where there are too
    few, K is split.
    """
    if rows == 1:
        return _vector(k, num_weights)
    if dtype.itemsize > 2:
        return _tile_of_registers(rows, k, num_weights, least_columns)
    if rows is None or rows > 64:
        if k * dtype.itemsize % 16:
            return _plain_tile(rows, k, num_weights)
        return _boxed_tile(rows, n, k, num_weights, least_columns)
    return _one_wave(rows, n, k, num_weights, least_columns)


def _vector(k: int, num_weights: int) -> Ruled[Tile]:
    """For a row alone. A model with K of 2048 was faster with less of it at once."""
    depth = min(padded(k, 16), _VECTOR_DEPTH)
    tile = Tile(1, max(1, 2 * _VECTOR_DEPTH // depth // num_weights), depth, 4, 3)
    if k == _VECTOR_DEPTH:
        tile = replace(tile, depth=depth // 2)
        return Ruled(tile, "a row alone takes 4096 weights a block, of this K in two steps", {})
    return Ruled(tile, "a row alone takes 4096 weights a block at a time", {})


def _tile_of_registers(
    rows: int | None, k: int, num_weights: int, least_columns: int
) -> Ruled[Tile]:
    """For numbers of four bytes: a thread multiplies what it has of a step in registers."""
    if rows is not None and rows <= 32:
        depth = min(padded(k, 16), 32)
        tile = Tile(padded(rows, 16), max(32, least_columns), depth, 8, 2)
    else:
        columns = max(64 // num_weights, least_columns)
        tile = Tile(64 if rows else 128, columns, 16, 8, 2)
    return Ruled(tile, "steps that registers hold: numbers of four bytes", {})


def _unaligned_depth(k: int) -> int:
    """Of rows that are read by many addresses, one for each element or two: they take registers."""
    return 32 if k % 2 else 64


def _plain_tile(rows: int | None, k: int, num_weights: int) -> Ruled[Tile]:
    """For many rows that are not aligned."""
    depth = min(padded(k, 16), _unaligned_depth(k))
    if rows is not None and rows <= 256:
        tile = Tile(64, 64, depth, 4, 3)
    else:
        tile = Tile(128, 64 if num_weights > 1 or k % 2 else 128, depth, 8, 3)
    return Ruled(tile, "a plain tile: no tensor map has rows that long", {})


def _boxed_tile(
    rows: int | None, n: int, k: int, num_weights: int, least_columns: int
) -> Ruled[Tile]:
    """The tile whose waves take the least time, each with K whole or in its best parts."""
    times: dict[Tile, float] = {}
    for tile, wave_us in _BOXED.items():
        if tile.columns // num_weights < least_columns:
            continue
        narrow = _NARROW if num_weights > 1 and tile.rows == 64 else 1.0
        shaped = replace(
            tile,
            columns=tile.columns // num_weights,
            depth=min(padded(k, 16), tile.depth),
            num_stages=3 if rows is None else tile.num_stages,  # the faster in long runs
        )
        ways = {
            way: _microseconds(way, wave_us * narrow, rows or MANY_ROWS, n, k, num_weights)
            for way in _ways_to_split(shaped, rows, n, k)
        }
        best = min(ways, key=lambda way: ways[way])
        times[best] = ways[best]
    best = min(times, key=lambda tile: times[tile])
    others = {
        tile: f"its waves take {time:.4g} us, not less than {times[best]:.4g}"
        for tile, time in times.items()
        if tile != best
    }
    return Ruled(best, f"its waves take the least, {times[best]:.4g} us", others)


def _ways_to_split(tile: Tile, rows: int | None, n: int, k: int) -> Iterator[Tile]:
    """The tile with K whole; and in parts, all alike, whose blocks run at once."""
    yield tile
    if rows is None:
        return
    for splits in (2, 4, 8):
        split = replace(tile, splits=splits)
        is_one_wave = num_blocks(split, rows, n) <= NUM_MULTIPROCESSORS
        if is_one_wave and k % (tile.depth * splits) == 0 and k >= _LEAST_PART * splits:
            yield split


def _microseconds(tile: Tile, wave_us: float, rows: int, n: int, k: int, num_weights: int) -> float:
    """What a wave leaves idle takes half of its time: the rest have memory and power alone."""
    waves = num_blocks(tile, rows, n) / NUM_MULTIPROCESSORS
    time = (ceil(waves) + waves) / 2 * wave_us * k / tile.splits / 1024
    if tile.splits == 1:
        return time
    sums = tile.rows * tile.columns * num_weights * tile.splits
    return time + _MEETING + _ADDING * sums / 1024


def _one_wave(rows: int, n: int, k: int, num_weights: int, least_columns: int) -> Ruled[Tile]:
    most = _unaligned_depth(k) if rows > 32 and k % 8 else 256
    choices = [
        replace(tile, depth=min(tile.depth, padded(k, 16), most))
        for tile in _few_rows(padded(rows, 16), num_weights)
        if tile.columns >= least_columns
    ]
    if num_blocks(choices[0], rows, n) >= 4 * NUM_MULTIPROCESSORS:
        others = dict.fromkeys(choices[1:], "is for fewer columns")
        return Ruled(choices[0], "very many columns", others)
    smaller = choices[1:] or choices
    # two products share x: better than to split
    whole = smaller if num_weights > 1 else _whole_tiles(rows, k)
    tiles = [*whole, *(_split(tile, rows, n, k) for tile in smaller)]
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


def _whole_tiles(rows: int, k: int) -> list[Tile]:
    """Tiles of one weight that are the best where their blocks fill a wave with K whole."""
    return [Tile(32, 64, 128, 4, 6)] if 16 < rows <= 32 and k % 128 == 0 else []


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
    """The tile with as few parts of K, all alike, as give most multiprocessors a block."""
    while num_blocks(tile, rows, n) < MOST:
        more = replace(tile, splits=tile.splits * 2)
        if more.splits > 8 or k % (tile.depth * more.splits) or k < 2 * tile.depth * more.splits:
            break
        tile = more
    return tile
