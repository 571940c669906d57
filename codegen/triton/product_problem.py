"""Products as a problem: which tiles their kernels can have, and which of them are worth a try."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from ...artifact.tuning_table import Configuration
from ...ir.types import DType
from .choice import Ruled, read_fields
from .invariant_tiles import MIN_ROWS, choose_invariant_tile
from .kernel import padded
from .persistent_tiles import PERSISTENT, PERSISTENT_FORMS, Persistent, persistent_refusals
from .streams import FLOATS, MAX_STREAM_ROWS, Stream, choose_stream, stream_refusals, streams_for
from .targets import GpuTarget
from .tiles import MANY_ROWS, MOST, NUM_MULTIPROCESSORS, Tile, choose_tile, num_blocks, shared_bytes

Form = Tile | Stream | Persistent
Reasons = Iterable[tuple[bool, str]]

_FLOATS_ALONE = "warpgroups multiply floats of 16 bits"
_NO_FORM = "the target or the epilogue has no such form"
_NO_EPILOGUE = "the epilogue has no such form, for it adds rows, or gives squares or logits"
_MOST_BLOCKS = 8 * NUM_MULTIPROCESSORS  # of few rows: more have too little to do each
_MOST_SUMS = 128  # of a thread, of the 255 registers that it can have
_WORTH_SHARED_BYTES = 16 << 10  # on the way for a block: with less, memory waits for blocks


@dataclass(frozen=True)
class Product:
    """Up to ``rows`` rows of x, or any number, by weights [n, k]."""

    rows: int | None
    n: int
    k: int
    num_weights: int
    dtype: DType
    has_norm: bool  # the squares of x are added up on the way
    can_box: bool  # nothing but the products reads x and the weights
    can_stream: bool  # the target has the form for few rows on Hopper, and the epilogue fits it
    can_stay: bool  # it has the one for many rows, and the epilogue fits that
    batch_invariant: bool
    least_columns: int = 1  # of a tile: those whose squares are one sum, where it gives them

    @property
    def is_vector(self) -> bool:
        """Whether a row is alone, and need not be computed as it is among others."""
        return self.rows == 1 and not self.batch_invariant

    def ruled(self) -> Ruled[Form]:
        """The form that suits the sizes of the card that the rules were made on."""
        tile, stream, no_persistent = self._ruled_tile(), self._stream(), self.refusal(PERSISTENT)
        found = {Stream.kind: stream, Persistent.kind: no_persistent}
        kinds = {kind: why for kind, why in found.items() if isinstance(why, str)}
        others: dict[Form, str] = {other: why for other, why in tile.others.items()}
        if no_persistent is None:
            others = {tile.chosen: f"{tile.rule}, but the end of a tile stands alone"} | others
            rule = "blocks stay, and copy a tile while one is finished"
            return Ruled(PERSISTENT, rule, others, kinds)
        if isinstance(stream, Stream):
            others = {tile.chosen: f"{tile.rule}, but its weights are on the way too late"} | others
            way = "in parts that fill a wave" if stream.splits > 1 else "tile by tile"
            rule = f"weights of few rows stream, {way}"
            return Ruled(stream, rule, others, kinds)
        return Ruled(tile.chosen, tile.rule, others, kinds)

    def read(self, configuration: Configuration) -> Form:
        """A form of those fields."""
        if "group" in configuration:
            return read_fields(Persistent, configuration)
        if "slots" in configuration:
            return read_fields(Stream, configuration)
        return read_fields(Tile, configuration)

    def refusal(self, form: Form) -> str | None:
        """Why no kernel can have the form, or why its bits would be others."""
        if isinstance(form, Stream):
            reasons = self._stream_refusals(form)
        elif isinstance(form, Persistent):
            reasons = self._persistent_refusals(form)
        else:
            reasons = (*self._shape_refusals(form), *self._invariance_refusals(form))
        return next((reason for is_so, reason in reasons if is_so), None)

    def candidates(self, target: GpuTarget) -> Iterator[Form]:
        """Forms that keep memory or the matrix units busy, by their sizes."""
        if self.dtype.itemsize > 2:
            return
        if self.can_stream and self.rows is not None and self.rows <= MAX_STREAM_ROWS:
            yield from streams_for(self.rows, self.num_weights)
        yield from PERSISTENT_FORMS
        for tile in self._tiles():
            if self.batch_invariant:
                tile = self._in_the_parts_of_all(tile)
            shared = shared_bytes(tile, self.num_weights)
            if shared <= target.shared_bytes and self._is_worth(tile, shared):
                yield tile

    def _stream(self) -> Stream | str:
        """What the rule streams, or why it does not."""
        if not self.can_stream:
            return _NO_FORM
        stream = choose_stream(self.rows, self.n, self.k, self.num_weights)
        return stream if isinstance(stream, str) else self.refusal(stream) or stream

    def _ruled_tile(self) -> Ruled[Tile]:
        sizes = (self.rows, self.n, self.k, self.num_weights, self.dtype)
        if self.batch_invariant:  # which gives no squares
            ruled = choose_invariant_tile(*sizes)
        else:
            ruled = choose_tile(*sizes, self.least_columns)
        others = {self._as_read(tile): why for tile, why in ruled.others.items()}
        return replace(ruled, chosen=self._as_read(ruled.chosen), others=others)

    def _as_read(self, tile: Tile) -> Tile:
        return replace(tile, boxed=tile.boxed and self.can_box)

    def _stream_refusals(self, stream: Stream) -> Reasons:
        rows = self.rows or MANY_ROWS
        return (
            (not self.can_stream, _NO_FORM),
            (self.batch_invariant, "its sums have an order of their own"),
            (self.dtype not in FLOATS, _FLOATS_ALONE),
            (
                self.least_columns not in (1, stream.columns),
                f"the squares of {self.least_columns} columns are one sum",
            ),
            *stream_refusals(stream, rows, self.n, self.k, self.num_weights),
        )

    def _persistent_refusals(self, form: Persistent) -> Reasons:
        return (
            (self.rows is not None, "it is for steps of any number of rows"),
            (self.dtype not in FLOATS, _FLOATS_ALONE),
            (not self.can_stay, _NO_EPILOGUE if self.can_stream else _NO_FORM),
            (self.batch_invariant, "its instruction would be another"),
            *persistent_refusals(form, self.n, self.k, self.num_weights),
        )

    def _shape_refusals(self, tile: Tile) -> Reasons:
        sizes = (tile.rows, tile.columns, tile.depth, tile.num_warps)
        part = self.k // max(1, tile.splits * tile.parts)
        is_cut = tile.splits * tile.parts > 1
        itemsize = self.dtype.itemsize
        return (
            (any(size != padded(size) for size in sizes), "its sizes are not powers of two"),
            ((tile.rows == 1) != self.is_vector, "a row alone, and no other, has tiles of a row"),
            (tile.rows > 1 and min(sizes[:3]) < 16, "matrix units take 16 rows, columns and depth"),
            (not 1 <= tile.num_stages <= 8, "stages are from 1 to 8"),
            (tile.splits < 1 or tile.parts < 1, "parts of K are from 1 on"),
            (is_cut and part % tile.depth > 0, "the depth does not divide a part of K"),
            (is_cut and part * tile.splits * tile.parts != self.k, "the parts of K are not alike"),
            (
                tile.splits > 1 and (self.is_vector or self.rows is None),
                "blocks share K in steps of some rows",
            ),
            (self.has_norm and tile.parts > 1, "squares are not added up in turn"),
            (tile.boxed and (self.has_norm or not self.can_box), "x is not read by boxes alone"),
            (tile.boxed and self.k * itemsize % 16 > 0, "no tensor map has rows that long"),
            (tile.boxed and (tile.rows == 1 or max(sizes[:3]) > 256), "no box is that large"),
            (
                tile.columns < self.least_columns,
                f"the squares of {self.least_columns} columns are one sum",
            ),
        )

    def _invariance_refusals(self, tile: Tile) -> Reasons:
        if not self.batch_invariant:
            return ()
        parts = self._num_parts()
        return (
            (tile.splits * tile.parts != parts, f"K is in {parts} parts for steps of all sizes"),
            (tile.rows < MIN_ROWS or tile.num_warps < 4, "its instruction would be another"),
        )

    def _num_parts(self) -> int:
        chosen = self._ruled_tile().chosen
        return chosen.splits * chosen.parts

    def _in_the_parts_of_all(self, tile: Tile) -> Tile:
        parts, side_by_side = self._num_parts(), self._ruled_tile().chosen.splits > 1
        return replace(
            tile, splits=parts if side_by_side else 1, parts=1 if side_by_side else parts
        )

    def _tiles(self) -> Iterator[Tile]:
        if self.is_vector:
            return self._vectors()
        if self.rows is not None and self.rows <= 64 and not self.batch_invariant:
            return self._few_rows(padded(self.rows, 16))
        if self.rows is not None and self.rows <= 256:
            return self._some_rows()
        return self._many_rows()

    def _vectors(self) -> Iterator[Tile]:
        sizes = product((1, 2, 4, 8, 16), (256, 512, 1024, 2048, 4096), (2, 4, 8), (2, 3, 4, 5))
        for columns, depth, warps, stages in sizes:
            if depth > padded(self.k) or (depth >= self.k and stages > 2):
                continue
            if 8 <= columns * depth * self.num_weights // (32 * warps) <= 64:
                yield Tile(1, columns, depth, warps, stages)

    def _few_rows(self, rows: int) -> Iterator[Tile]:
        sizes = product((16, 32, 64, 128), (64, 128, 256, 512), (4, 8), (3, 4, 5, 6), (1, 2, 4, 8))
        for columns, depth, warps, stages, splits in sizes:
            tile = Tile(rows, columns, depth, warps, stages, splits)
            yield tile
            if depth <= 128 and columns > 16:
                yield replace(tile, boxed=True)

    def _some_rows(self) -> Iterator[Tile]:
        sizes = product((64, 128), (32, 64, 128, 256), (32, 64, 128), (4, 8), (3, 4, 5), (1, 2, 4))
        for rows, columns, depth, warps, stages, splits in sizes:
            for boxed in (False, True):
                yield Tile(rows, columns, depth, warps, stages, splits, boxed)

    def _many_rows(self) -> Iterator[Tile]:
        sizes = product((64, 128, 256), (64, 128, 256), (32, 64, 128), (4, 8), (2, 3, 4, 5, 6))
        for rows, columns, depth, warps, stages in sizes:
            for splits in (1, 2, 4):
                columns_each = columns // self.num_weights
                yield Tile(rows, columns_each, depth, warps, stages, splits, self.can_box)

    def _is_worth(self, tile: Tile, shared: int) -> bool:
        """Not what has too few blocks, too little on the way, or more sums than registers."""
        if tile.rows == 1:
            return True
        rows = self.rows or MANY_ROWS
        sums = tile.rows * tile.columns * self.num_weights // (32 * tile.num_warps)
        blocks = num_blocks(tile, rows, self.n)
        fills = blocks >= MOST or rows > 256
        is_small = tile.splits == 1 or self.batch_invariant or blocks <= 3 * NUM_MULTIPROCESSORS
        few = blocks <= _MOST_BLOCKS or rows > 256
        return (
            2 <= sums <= _MOST_SUMS and fills and is_small and few and shared >= _WORTH_SHARED_BYTES
        )
