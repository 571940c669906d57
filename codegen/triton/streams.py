"""Chooses how weights stream through products of few rows, as measured on an H200."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple

from ...ir.types import DType
from .kernel import padded
from .tiles import MOST, NUM_MULTIPROCESSORS

FLOATS = {DType.F16: "float16", DType.BF16: "bfloat16"}
BOX_COLUMNS = 64  # 128 bytes: how rows lie in shared memory where products read them
MAX_STREAM_ROWS = 64

_FEW_ROWS = 32
_LEAST = 1024  # columns and K that stream with more rows
_LARGE = 4096  # columns and K whose weights keep memory busy for long
_RING_BYTES = 199 << 10  # less of them is slower, by 5 % and more
_SUMS_COST_ROWS = 16  # with more, what is left of parts is much
_SMALL_TILE_BYTES = 256 << 10  # of weights
_BUSY_BYTES = 64 << 10  # on the way to a multiprocessor
_MOST_SUMS = 64  # of a thread: more spill


@dataclass(frozen=True)
class Stream:
    """Tiles of all ``rows`` of x by ``columns`` of each weight, ``depth`` of K a step.

    A block has ``slots`` for its steps, and uses them again where it has more. With ``splits``,
    blocks have equal shares that are at least such a part of a tile; with one, whole tiles.
    """

    kind: ClassVar[str] = "stream"
    rows: int
    columns: int
    depth: int
    slots: int
    splits: int = 1


class Shares(NamedTuple):
    """How blocks cut the steps of all tiles."""

    steps: int  # of a tile
    num_tiles: int
    share: int  # steps of a block

    @property
    def num_blocks(self) -> int:
        """One for each multiprocessor, or fewer."""
        return -(-self.steps * self.num_tiles // self.share)

    @property
    def most_parts(self) -> int:
        """Blocks that have steps of the same tile."""
        firsts = range(0, self.steps * self.num_tiles, self.steps)
        lasts = [first + self.steps - 1 for first in firsts]
        return 1 + max(
            b // self.share - a // self.share for a, b in zip(firsts, lasts, strict=True)
        )


def shares_of(stream: Stream, n: int, k: int) -> Shares:
    """The shares of blocks in weights [n, k]."""
    steps, num_tiles = k // stream.depth, n // stream.columns
    if stream.splits == 1:
        share = steps * -(-num_tiles // NUM_MULTIPROCESSORS)
    else:
        share = max(-(-steps * num_tiles // NUM_MULTIPROCESSORS), -(-steps // stream.splits))
    return Shares(steps, num_tiles, share)


def choose_stream(rows: int | None, n: int, k: int, num_weights: int) -> Stream | str:
    """Narrow tiles in deep steps, in as few parts as give most multiprocessors a block.

    Of more than 16 rows, to read a small tile takes less time than to add up its parts. Or why
    none: where tiles are as fast, or where a box would not be of one tile.
    """
    if rows is None or rows > MAX_STREAM_ROWS:
        return f"a step may have more than {MAX_STREAM_ROWS} rows"
    if rows > _FEW_ROWS and min(n, k) < _LEAST:
        return f"of more than {_FEW_ROWS} rows, weights of fewer than {_LEAST} columns or K are few"
    if n % 64 or k % BOX_COLUMNS:
        return f"the columns are no multiple of 64, or K is none of {BOX_COLUMNS}"
    depth = BOX_COLUMNS if k % (2 * BOX_COLUMNS) else 2 * BOX_COLUMNS
    whole = rows > _SUMS_COST_ROWS and k * 64 * num_weights * 2 <= _SMALL_TILE_BYTES
    ways = (1,) if whole else (1, 2, 4)
    streams = [_full(padded(rows, 8), 64, depth, splits, num_weights) for splits in ways]
    filling = (stream for stream in streams if shares_of(stream, n, k).num_blocks >= MOST)
    return next(filling, streams[-1])


def num_ahead(slots: int, slot_bytes: int, n: int, k: int) -> int:
    """Slots of a ring whose weights are on the way at once.

    Memory has a queue, in which x and the parts of shared tiles stand behind all weights: large
    products have no more of these on the way than keep it busy. Small ones have few steps, which
    come all the sooner.
    """
    is_large = n >= _LARGE and k >= _LARGE
    return max(1, min(slots, _BUSY_BYTES // slot_bytes)) if is_large else slots


def streams_for(rows: int, num_weights: int) -> Iterator[Stream]:
    """What may be faster than the rule's, of up to ``rows`` rows."""
    for columns, depth, splits in product((64, 128), (64, 128), (1, 2, 4, 8)):
        yield _full(padded(rows, 8), columns, depth, splits, num_weights)


def stream_refusals(
    stream: Stream, rows: int, n: int, k: int, num_weights: int
) -> Iterable[tuple[bool, str]]:
    """What there may be against a stream for weights [n, k], and whether it is so."""
    sizes = (stream.rows, stream.columns, stream.depth)
    sums = stream.columns * num_weights
    return (
        (rows == 1 or rows > stream.rows, "a tile has all rows, of more than one"),
        (any(size != padded(size) for size in sizes), "its sizes are not powers of two"),
        (not 8 <= stream.rows <= MAX_STREAM_ROWS, f"it is for 8 to {MAX_STREAM_ROWS} rows"),
        (not 64 <= stream.columns <= 128, "a box has 64 or 128 columns"),
        (stream.depth < BOX_COLUMNS, f"a box has {BOX_COLUMNS} of K"),
        (n % stream.columns > 0, "the columns are no whole tiles"),
        (k % stream.depth > 0, "K is no whole steps"),
        (sums * stream.rows > _MOST_SUMS * 128, "its sums are more than registers"),
        (stream.splits < 1, "parts of K are from 1 on"),
        (stream.slots < 2, "one step is on the way while another is multiplied"),
    )


def _full(rows: int, columns: int, depth: int, splits: int, num_weights: int) -> Stream:
    """With as many steps on the way as shared memory holds."""
    slots = _RING_BYTES // ((rows + columns * num_weights) * depth * 2)
    return Stream(rows, columns, depth, slots, splits)
