"""Routed experts as a problem: the tiles of their two products, and which are worth a try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

from ...artifact.tuning_table import Configuration
from .choice import Ruled, read_fields
from .kernel import padded
from .persistent_tiles import ROWS
from .targets import GpuTarget

EXPECTED_ROWS = 4096  # tokens of a step that may have any number
_FEW_ROWS = 64
_WORTH_BLOCKS = 16  # tokens for an expert; where it expects 8, tiles are 9 % faster


@dataclass(frozen=True)
class ExpertTile:
    """A block's share of a product: ``rows`` pairs by ``columns``, ``depth`` of the sum at once."""

    rows: int
    columns: int
    depth: int
    num_warps: int
    num_stages: int


@dataclass(frozen=True)
class ExpertTiles:
    """The tiles of up and of down, whose rows are equal."""

    kind: ClassVar[str] = "tiles"
    rows: int
    up_columns: int
    up_depth: int
    up_warps: int
    up_stages: int
    down_columns: int
    down_depth: int
    down_warps: int
    down_stages: int

    @property
    def up(self) -> ExpertTile:
        """Of gate and up."""
        sizes = self.up_columns, self.up_depth, self.up_warps, self.up_stages
        return ExpertTile(self.rows, *sizes)

    @property
    def down(self) -> ExpertTile:
        """Of down."""
        sizes = self.down_columns, self.down_depth, self.down_warps, self.down_stages
        return ExpertTile(self.rows, *sizes)


@dataclass(frozen=True)
class ExpertBlocks:
    """Blocks that stay, and take tile after tile of groups of ``rows`` pairs."""

    kind: ClassVar[str] = "persistent"
    rows: int


BLOCKS = ExpertBlocks(ROWS)
Form = ExpertTiles | ExpertBlocks


@dataclass(frozen=True)
class Experts:
    """Up to ``max_rows`` tokens, or any number, of which each goes to ``k`` experts."""

    max_rows: int | None
    num_experts: int
    k: int
    hidden: int
    inner: int
    itemsize: int
    batch_invariant: bool
    can_stay: bool = False  # the target has blocks that stay, and the element type suits them

    def ruled(self) -> Ruled[Form]:
        """Blocks that stay, where there are such and an expert can expect some tokens."""
        tiles, refusal = self._ruled_tiles(), self.refusal(BLOCKS)
        if refusal is not None:
            return replace(tiles, kinds={ExpertBlocks.kind: refusal})
        if self._expected() < _WORTH_BLOCKS:
            others: dict[Form, str] = {BLOCKS: "few tokens leave most rows of a group idle"}
            return replace(tiles, others=others)
        rule = f"{tiles.rule}: blocks stay, and copy a tile while one is finished"
        return Ruled(BLOCKS, rule, {tiles.chosen: "nothing is copied while a tile is finished"})

    def _expected(self) -> int:
        """Tokens of a step for an expert."""
        return (self.max_rows or EXPECTED_ROWS) * self.k // self.num_experts

    def _ruled_tiles(self) -> Ruled[Form]:
        """Tiles for the tokens that an expert can expect.

        Few tokens wait for weights: small groups waste little, and a second group of an expert
        finds its weights in the cache. Many are bound by the products: large tiles move less.
        """
        wide = self.itemsize // 2
        if self.max_rows == 1:
            columns, depth, stages = _up_of_one(self.hidden, wide)
            down = min(padded(self.inner, 16), 1024 // wide)
            tiles = ExpertTiles(1, columns, depth, 4, stages, 4, down, 4, 4)
            return Ruled(tiles, "a token alone needs no sorting", {})
        expected = self._expected()
        rule = f"{expected} tokens for an expert"
        # of numbers of four bytes, a thread has a step in registers
        if expected >= 64:
            depth, warps = 64 // wide**2, 4 * wide
            columns = 128 // wide
            tiles = ExpertTiles(64, 64, depth, warps, 4, columns, depth, warps, 3)
            return Ruled(tiles, rule, {})
        rows, depth = padded(expected // 2, 16), 128 // wide**2
        up, down = min(depth, padded(self.hidden, 16)), min(depth, padded(self.inner, 16))
        return Ruled(ExpertTiles(rows, 32, up, 4, 4, 64, down, 4, 4), rule, {})

    def read(self, configuration: Configuration) -> Form:
        """The form of those fields."""
        if "up_columns" in configuration:
            return read_fields(ExpertTiles, configuration)
        return read_fields(ExpertBlocks, configuration)

    def refusal(self, form: Form) -> str | None:
        """Why no kernel can have the form, or why its bits would be others."""
        if isinstance(form, ExpertBlocks):
            return self._blocks_refusal(form)
        return self._tiles_refusal(form)

    def _blocks_refusal(self, form: ExpertBlocks) -> str | None:
        if self.batch_invariant:
            return "steps of all sizes have one tile"
        if not self.can_stay:
            return "the target or the element type has no such form"
        if self.max_rows is not None and self.max_rows <= _FEW_ROWS:
            return f"it is for steps of more than {_FEW_ROWS} tokens"
        if form.rows != ROWS:
            return f"a group has the {ROWS} rows of three warpgroups"
        if self.hidden % 8 or self.inner % 8:
            return "no tensor map has rows that long"
        return None

    def _tiles_refusal(self, tiles: ExpertTiles) -> str | None:
        if self.batch_invariant:
            same = tiles == self._ruled_tiles().chosen
            return None if same else "steps of all sizes have one tile"
        if (tiles.rows == 1) != (self.max_rows == 1):
            return "a token alone, and no other, has tiles of a row"
        least = 1 if tiles.rows == 1 else 16
        for tile in (tiles.up, tiles.down):
            sizes = (tile.rows, tile.columns, tile.depth)
            if any(size != padded(size, least) for size in sizes):
                return f"rows, columns and depth are powers of two from {least} on"
            if tile.num_warps != padded(tile.num_warps) or not 1 <= tile.num_stages <= 8:
                return "warps are a power of two, stages from 1 to 8"
        return None

    def candidates(self, target: GpuTarget) -> Iterator[Form]:
        """Blocks that stay; each product in other tiles, the other's as the rule has it."""
        if self.batch_invariant or self.itemsize > 2:
            return
        yield BLOCKS
        kept = self._ruled_tiles().chosen
        assert isinstance(kept, ExpertTiles)
        all_rows = (1,) if self.max_rows == 1 else (16, 32, 64, 128)
        for rows in all_rows:
            for columns, depth, warps, stages in self._sizes(rows):
                one = (columns, depth, warps, stages)
                if (rows + 2 * columns) * depth * 2 * stages <= target.shared_bytes:
                    up = (kept.up_columns, kept.up_depth, kept.up_warps, kept.up_stages)
                    down = (kept.down_columns, kept.down_depth, kept.down_warps, kept.down_stages)
                    yield ExpertTiles(rows, *one, *down)
                    yield ExpertTiles(rows, *up, *one)

    def _sizes(self, rows: int) -> Iterator[tuple[int, int, int, int]]:
        if rows == 1:
            return product((2, 4, 8, 16), (256, 512, 1024), (2, 4, 8), (2, 3, 4, 5))
        return product((16, 32, 64, 128), (64, 128, 256), (4, 8), (3, 4, 5))


def _up_of_one(hidden: int, wide: int) -> tuple[int, int, int]:
    """Columns, depth and stages of gate and up of a token alone: even steps, the longest there
    are."""
    if hidden % 2048 == 0:
        return 2, 2048 // wide, 2
    return (4, 1024 // wide, 3) if hidden % 1024 == 0 else (4, min(padded(hidden, 16), 512), 4)
