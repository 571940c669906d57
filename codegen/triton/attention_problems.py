"""Attention as problems: the tiles of its forms, what rules take, and what is worth a try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, TypeAlias

from ...artifact.tuning_table import Configuration
from .choice import Ruled, read_fields
from .kernel import padded
from .streams import BOX_COLUMNS
from .targets import GpuTarget

HOPPER_ROWS = 64  # queries of a warpgroup
_WARPGROUPS = (2, 3)  # that compute, in Hopper's form
_HOPPER_SLOTS = 4  # of blocks of keys or values
_LEAST_BLOCK = 16  # keys: of a page
_MAX_SPLITS = 64
_MOST_SPLIT_ROWS = 32  # of more there are blocks enough
_FEW_ROWS, _WIDE_BYTES = 16, 512  # of a key and its value
_MOST_AT_ONCE = 64  # rows whose blocks are on the machine at one time
_STAGES = (1, 2, 3, 5)
"""Of the loop over keys. Two of them read pages, so five are the first that have keys ahead."""


@dataclass(frozen=True)
class DecodeTile:
    """Blocks that share a context, and how many keys each takes at a time."""

    kind: ClassVar[str] = "tile"
    splits: int
    block: int
    num_warps: int
    num_stages: int


@dataclass(frozen=True)
class PrefillTile:
    """Queries of a block by keys at a time, in the form for all targets."""

    kind: ClassVar[str] = "tile"
    rows: int
    block: int
    num_warps: int
    num_stages: int


@dataclass(frozen=True)
class HopperTile:
    """Warpgroups that compute, 64 queries each, and how many keys they take at a time."""

    kind: ClassVar[str] = "hopper"
    warpgroups: int
    block: int

    @property
    def registers(self) -> tuple[int, int]:
        """Of a thread that computes, and of one that copies, for which more pages take more."""
        if self.warpgroups == 3:
            return 160, 24
        return (232, 40) if self.block > 64 else (240, 24)


AnyPrefillTile: TypeAlias = HopperTile | PrefillTile


@dataclass(frozen=True)
class PartsTile:
    """Blocks that share a context whose parts have one order; bits depend on neither."""

    kind: ClassVar[str] = "tile"
    splits: int
    num_stages: int


@dataclass(frozen=True)
class Heads:
    """The sizes of an attention, the last that of an element in bytes."""

    num_heads: int
    num_key_heads: int
    dim: int
    value_dim: int
    itemsize: int = 2

    @property
    def group(self) -> int:
        """Query heads of a key head, as tiles pad them."""
        return padded(self.num_heads // self.num_key_heads)

    @property
    def widest(self) -> int:
        """The larger of the widths of keys and of values."""
        return max(self.dim, self.value_dim)

    @property
    def boxed_dim(self) -> int:
        """The width of keys as boxes bring them: zeros are behind their own."""
        return padded(self.dim, BOX_COLUMNS)

    @property
    def key_bytes(self) -> int:
        """Of a key and its value."""
        return self.itemsize * (self.dim + self.value_dim)


def num_splits(max_rows: int, num_key_heads: int, most_blocks: int = 512) -> int:
    """Blocks that share a long context, so that a step of fewer rows still fills the machine."""
    if max_rows > _MOST_SPLIT_ROWS:
        return 1
    return max(1, min(32, 128 // num_key_heads, most_blocks // padded(max_rows * num_key_heads)))


@dataclass(frozen=True)
class Decode:
    """A token of each of up to ``max_rows`` sequences."""

    max_rows: int
    heads: Heads

    def ruled(self) -> Ruled[DecodeTile]:
        """As many splits as fill the machine. One row wants to be through soon; of many, each is to
        leave room for others."""
        # wider heads take longer: of few rows, more blocks even out
        most_blocks = min(1024, 2 * self.heads.key_bytes) if self._is_few else 512
        splits = num_splits(self.max_rows, self.heads.num_key_heads, most_blocks)
        if self.heads.key_bytes > _WIDE_BYTES:
            block = (64, 4, 2)
        elif self.max_rows == 1:
            block = (256, 8, 2)
        elif self._is_few:
            block = (128, 4, 2)
        else:
            block = (64, 2, 5 if self._is_many else 3)
        most = f"up to {most_blocks} blocks in all, at most 32"
        rule = f"{block[0]} keys at a time, splits {most}: {splits}"
        return Ruled(DecodeTile(splits, *block), rule, {})

    @property
    def _is_few(self) -> bool:
        """Up to 16 rows of heads of 128, or four times as many of heads half as wide."""
        return self.max_rows * self.heads.key_bytes**2 <= _FEW_ROWS * _WIDE_BYTES**2

    @property
    def _is_many(self) -> bool:
        """More rows than have their blocks on the machine at once, of heads of 128: keys ahead then
        gain more than the blocks that they leave no room for."""
        return self.max_rows > _MOST_AT_ONCE and self.heads.key_bytes >= _WIDE_BYTES

    def read(self, configuration: Configuration) -> DecodeTile:
        """A tile of those fields."""
        return read_fields(DecodeTile, configuration)

    def refusal(self, tile: DecodeTile) -> str | None:
        """Why no kernel can have the tile."""
        if not 1 <= tile.splits <= _MAX_SPLITS:
            return f"splits are from 1 to {_MAX_SPLITS}"
        return _refusal(tile.block, tile.num_warps, tile.num_stages)

    def candidates(self, target: GpuTarget) -> Iterator[DecodeTile]:
        """Other splits, blocks of keys, warps and stages."""
        most = max(1, 1024 // (self.max_rows * self.heads.num_key_heads))
        splits = [split for split in (1, 2, 4, 8, 16, 32, 64) if split <= most]
        for tile in product(splits, (32, 64, 128, 256), (2, 4, 8), _STAGES):
            if tile[1] * self.heads.key_bytes * max(1, tile[3] // 2) <= target.shared_bytes:
                yield DecodeTile(*tile)


@dataclass(frozen=True)
class Prefill:
    """Any tokens of any sequences."""

    max_rows: int | None
    heads: Heads
    is_for_hopper: bool  # the target has a form of its own, and the heads fit it
    is_plain: bool = True  # no window, no bound of scores and no sinks

    def ruled(self) -> Ruled[AnyPrefillTile]:
        """The target's own form where there is one; more queries share the keys of long steps.

        Heads wider than 64, or more than plain attention, leave three warpgroups too few
        registers; heads wider than 128 leave two enough for half as many keys.
        """
        is_wide = self.heads.widest > 128
        rows, block, stages = (64, 32, 1) if is_wide else (128, 64, 3)
        portable = PrefillTile(max(rows, self.heads.group), block, 8, stages)
        if not self.is_for_hopper:
            return Ruled(portable, "the form for all targets", {})
        two, three = HopperTile(2, 64 if is_wide else 128), HopperTile(3, 128)
        slower: dict[AnyPrefillTile, str] = {portable: "the target has a form of its own"}
        if self.refusal(three) or self.heads.dim != 64 or not self.is_plain:
            return Ruled(two, "two warpgroups: three lack registers", slower)
        if self.max_rows is not None:
            others = slower | {three: "pays for steps of more than 1024 tokens"}
            return Ruled(two, "two warpgroups: the step is short", others)
        others = slower | {two: "fewer queries share the keys"}
        return Ruled(three, "three warpgroups: long steps of narrow heads", others)

    def read(self, configuration: Configuration) -> AnyPrefillTile:
        """A tile of those fields, of either form."""
        if "warpgroups" in configuration:
            return read_fields(HopperTile, configuration)
        return read_fields(PrefillTile, configuration)

    def refusal(self, tile: AnyPrefillTile) -> str | None:
        """Why no kernel can have the tile."""
        group = self.heads.group
        if isinstance(tile, PrefillTile):
            if tile.rows != padded(tile.rows, 16) or tile.rows < group:
                return f"rows are a power of two from {max(16, group)} on"
            return _refusal(tile.block, tile.num_warps, tile.num_stages)
        if not self.is_for_hopper:
            return "the form is for Hopper, and for keys and values of one width"
        if tile.warpgroups not in _WARPGROUPS:
            return f"warpgroups are one of {[*_WARPGROUPS]}"
        if group > (2 if tile.warpgroups == 2 else 1) * HOPPER_ROWS:
            return "a token's queries are more than its warpgroups have"
        return _refusal(tile.block, 4, 1)

    def candidates(self, target: GpuTarget) -> Iterator[AnyPrefillTile]:
        """Tiles of other sizes, of the form that the rule takes."""
        if self.is_for_hopper:
            for warpgroups, block in product(_WARPGROUPS, (64, 128)):
                keys = _HOPPER_SLOTS * block + warpgroups * HOPPER_ROWS
                if keys * self.heads.boxed_dim * self.heads.itemsize <= target.shared_bytes:
                    yield HopperTile(warpgroups, block)
            return
        for tile in product((64, 128), (32, 64, 128), (4, 8), (2, 3)):
            if tile[1] * self.heads.key_bytes * tile[3] <= target.shared_bytes:
                yield PrefillTile(*tile)


@dataclass(frozen=True)
class InParts:
    """Attention of which a token gets the same bits in any step of up to ``max_rows`` rows."""

    max_rows: int | None
    num_key_heads: int

    def ruled(self) -> Ruled[PartsTile]:
        """As many splits as fill the machine."""
        splits = num_splits(self.max_rows, self.num_key_heads) if self.max_rows else 1
        return Ruled(PartsTile(splits, 3), f"splits up to 512 blocks in all: {splits}", {})

    def read(self, configuration: Configuration) -> PartsTile:
        """A tile of those fields."""
        return read_fields(PartsTile, configuration)

    def refusal(self, tile: PartsTile) -> str | None:
        """Why no kernel can have the tile."""
        if not 1 <= tile.splits <= (_MAX_SPLITS if self.max_rows else 1):
            return f"splits are from 1 to {_MAX_SPLITS}, and 1 for steps of any size"
        return _refusal(_LEAST_BLOCK, 4, tile.num_stages)

    def candidates(self, target: GpuTarget) -> Iterator[PartsTile]:
        """Other splits and stages."""
        splits = (1, 2, 4, 8, 16, 32) if self.max_rows else (1,)
        yield from (PartsTile(*tile) for tile in product(splits, _STAGES))


def _refusal(block: int, num_warps: int, num_stages: int) -> str | None:
    if block != padded(block, _LEAST_BLOCK) or num_warps != padded(num_warps):
        return f"keys at a time are a power of two from {_LEAST_BLOCK} on, warps one from 1 on"
    return None if 1 <= num_stages <= 8 else "stages are from 1 to 8"
