"""Attention in small tiles, where those that suit others are more than registers hold."""

from __future__ import annotations

from dataclasses import replace

from .attention_problems import AnyPrefillTile, Decode, DecodeTile, Heads, Prefill, PrefillTile
from .choice import Ruled
from .kernel import padded

_WIDEST = 256  # heads whose sums of many queries are in registers
_MOST_HELD = 80  # of a thread: scores, what they turn into, and sums
_MOST_WARPS, _LEAST_BLOCK = 8, 16


def is_small(heads: Heads) -> bool:
    """Whether tiles are to be small: of numbers of four bytes, a thread has in registers all that
    it multiplies; of very wide heads, what it has summed."""
    return heads.itemsize > 2 or heads.widest > _WIDEST


class SmallPrefill(Prefill):
    """Such heads as a problem; other tiles are legal, too."""

    def ruled(self) -> Ruled[AnyPrefillTile]:
        """Few queries by a page of keys."""
        is_wide = self.heads.itemsize * self.heads.widest > 2 * _WIDEST
        rows = max(16 if is_wide else 32, self.heads.group)
        return Ruled(PrefillTile(rows, 16, 8, 1), "small tiles, which registers hold", {})


class HeldDecode(Decode):
    """Decoding as a problem whose rule keeps to what registers hold; other tiles are legal, too."""

    def ruled(self) -> Ruled[DecodeTile]:
        """The tile that suits others, of less where a thread had more than it can hold."""
        ruled = super().ruled()
        chosen = ruled.chosen
        is_small_too = is_small(self.heads)
        start = replace(chosen, block=16, num_warps=8, num_stages=1) if is_small_too else chosen
        tile = _held(start, self.heads)
        if tile == chosen:
            return ruled
        rule = f"{tile.block} keys at a time, which registers hold, splits: {tile.splits}"
        return Ruled(tile, rule, {chosen: "a thread would hold more than it has registers for"})


def _held(tile: DecodeTile, heads: Heads) -> DecodeTile:
    """The tile with more warps, or with fewer keys, so that a thread can hold its part."""
    rows, width = padded(heads.num_heads // heads.num_key_heads, 16), padded(heads.value_dim, 16)
    while rows * (2 * tile.block + width) > _MOST_HELD * 32 * tile.num_warps:
        if tile.num_warps < _MOST_WARPS:
            tile = replace(tile, num_warps=2 * tile.num_warps)
        elif tile.block > _LEAST_BLOCK:
            tile = replace(tile, block=tile.block // 2)
        else:
            break
    return tile
