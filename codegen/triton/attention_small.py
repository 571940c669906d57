"""Prefill in small tiles, where those that suit others are more than registers hold."""

from __future__ import annotations

from .attention_problems import AnyPrefillTile, Heads, Prefill, PrefillTile
from .choice import Ruled

_WIDEST = 256  # heads whose sums of many queries are in registers


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
