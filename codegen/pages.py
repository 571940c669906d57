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

    def entry(self, page: torch.Tensor, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The key [heads, key_dim] and the value [heads, value_dim] of a token of a page."""
        num_keys = PAGE_SIZE_TOKENS * self.num_heads * self.key_dim
        keys, values = page[:num_keys], page[num_keys:]
        value = values.view(self.num_heads, PAGE_SIZE_TOKENS, self.value_dim)[:, place]
        if not self.is_packed:
            return keys.view(self.num_heads, PAGE_SIZE_TOKENS, self.key_dim)[:, place], value
        pair = 4 // self.dtype.itemsize
        packed = keys.view(self.num_heads, self.key_dim // pair, PAGE_SIZE_TOKENS, pair)
        return packed[:, :, place].reshape(self.num_heads, self.key_dim), value


def page_layouts(
    cache_groups: tuple[tuple[object, ...], ...], target: str
) -> dict[str, PageLayout]:
    """By the names of the groups, which are a module's attribute."""
    return {
        str(name): PageLayout(heads, key_dim, value_dim, dtype, target == CPU)  # type: ignore[arg-type]
        for name, _, heads, key_dim, value_dim, dtype, _ in cache_groups
    }
