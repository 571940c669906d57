"""How many pages a byte budget buys, and how many bytes pages take.

`tapeout plan` and the allocation at load both ask here, so that they agree to the byte.
"""

from collections.abc import Sequence
from math import lcm

from ..artifact import CacheGroup


def bytes_per_page(group: CacheGroup) -> int:
    """Bytes of one page over all layers of the group."""
    return group.layers * group.page_bytes_per_layer


def num_pages_for_tokens(groups: Sequence[CacheGroup], num_tokens: int) -> list[int]:
    """The pages of each group, its null page included, that hold `num_tokens` tokens."""
    return [1 + -(-num_tokens // group.page_size_tokens) for group in groups]


def num_tokens_in_budget(groups: Sequence[CacheGroup], budget_bytes: int) -> int:
    """The most tokens that fit in every group at once; negative if not even the null pages do."""
    unit_tokens = lcm(*(group.page_size_tokens for group in groups))
    null_bytes = sum(map(bytes_per_page, groups))
    unit_bytes = sum(bytes_per_page(g) * (unit_tokens // g.page_size_tokens) for g in groups)
    return (budget_bytes - null_bytes) // unit_bytes * unit_tokens


def cache_bytes(groups: Sequence[CacheGroup], num_pages: Sequence[int]) -> int:
    """Bytes of all pages of all groups, null pages included."""
    return sum(bytes_per_page(g) * count for g, count in zip(groups, num_pages, strict=True))
