"""How keys and values lie in the pages of a cache; the kernels say the same in their own words.

A page holds 16 tokens: keys of each head, then values of each head, [tokens, dim]. For CPUs keys
are stored as a packed matrix is: [dim / pair, tokens, pair], a pair filling 32 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..ir.ops.attention import PAGE_SIZE_TOKENS
from ..ir.types import DType

CPU = "cpu"


@dataclass(frozen=True)
class PageLayout:
    """Of one layer of a group."""

    num_heads: int
    key_dim: int
    value_dim: int
    dtype: DType
    is_packed: bool  # as kernels for CPUs have it

    @property
    def num_elements(self) -> int:
        """Of a page."""
        return PAGE_SIZE_TOKENS * self.num_heads * (self.key_dim + self.value_dim)

    def tokens(self, pages: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys [n, 16, heads, ...] and values [n, 16, heads, value_dim] of pages[n, elements].

        Nothing is copied. The last axes of keys are a head's key_dim numbers in order.
        """
        heads, num_keys = self.num_heads, PAGE_SIZE_TOKENS * self.num_heads * self.key_dim
        keys, values = pages[:, :num_keys], pages[:, num_keys:]
        values = values.view(-1, heads, PAGE_SIZE_TOKENS, self.value_dim).transpose(1, 2)
        if not self.is_packed:
            return keys.view(-1, heads, PAGE_SIZE_TOKENS, self.key_dim).transpose(1, 2), values
        pair = 4 // self.dtype.itemsize
        keys = keys.view(-1, heads, self.key_dim // pair, PAGE_SIZE_TOKENS, pair)
        return keys.permute(0, 3, 1, 2, 4), values


def page_layouts(
    cache_groups: tuple[tuple[object, ...], ...], target: str
) -> dict[str, PageLayout]:
    """By the names of the groups, which are a module's attribute."""
    return {
        str(name): PageLayout(heads, key_dim, value_dim, dtype, target == CPU)  # type: ignore[arg-type]
        for name, _, heads, key_dim, value_dim, dtype, _ in cache_groups
    }
