"""How many pages a byte budget buys, and how many bytes pages take.

`tapeout plan` and the allocation at load both ask here, so that they agree to the byte.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import lcm
from typing import NamedTuple

from ..artifact import CacheGroup


class Demand(NamedTuple):
    """The most that sequences can ask of the cache."""

    max_num_seqs: int
    max_model_len: int
    max_tokens_in_flight: int  # of all sequences together, in steps that are not reported


def bytes_per_page(group: CacheGroup) -> int:
    """Bytes of one page over all layers of the group."""
    return group.layers * group.page_bytes_per_layer


def pages_of_window(window: int, page_size_tokens: int, max_tokens_in_flight: int) -> int:
    """The most pages that a sequence holds at a time in a group with a window.

    They are those of its tokens in flight and of what the first of these looks back on, and one
    more since neither need begin with a page.
    """
    return -(-(window + max_tokens_in_flight) // page_size_tokens) + 1


def num_pages_for_tokens(
    groups: Sequence[CacheGroup], num_tokens: int, demand: Demand
) -> list[int]:
    """The pages of each group, its null page included, for sequences of `num_tokens` in all.

    A group with a window has no more than all sequences can hold of it at a time, and as much as
    their windows again: for prefixes of sequences that have ended.
    """
    return [1 + _num_pages(group, num_tokens, demand) for group in groups]


def whole_pages(groups: Sequence[CacheGroup], num_tokens: int) -> int:
    """The fewest tokens, `num_tokens` or more, that are whole pages in every group."""
    unit_tokens = lcm(*(group.page_size_tokens for group in groups))
    return -(-num_tokens // unit_tokens) * unit_tokens


def num_useful_tokens(groups: Sequence[CacheGroup], demand: Demand) -> int:
    """What all sequences at their longest can fill: each begins a page of its own."""
    return demand.max_num_seqs * whole_pages(groups, demand.max_model_len)


def num_tokens_in_budget(groups: Sequence[CacheGroup], budget_bytes: int, demand: Demand) -> int:
    """The most tokens of sequences that the budget has pages for, in every group at once.

    Negative if not even the null pages fit. Where each group has a window, tokens beyond all
    sequences at their longest cost nothing, and are not counted.
    """
    unit_tokens = whole_pages(groups, 1)
    unit_bytes = sum(
        bytes_per_page(g) * (unit_tokens // g.page_size_tokens) for g in groups if g.window is None
    )
    useful_units = num_useful_tokens(groups, demand) // unit_tokens
    most_units = budget_bytes // unit_bytes if unit_bytes else useful_units

    def bytes_of(num_units: int) -> int:
        return cache_bytes(groups, num_pages_for_tokens(groups, num_units * unit_tokens, demand))

    num_units = bisect_right(range(most_units + 1), budget_bytes, key=bytes_of) - 1
    return num_units * unit_tokens


def cache_bytes(groups: Sequence[CacheGroup], num_pages: Sequence[int]) -> int:
    """Bytes of all pages of all groups, null pages included."""
    return sum(bytes_per_page(g) * count for g, count in zip(groups, num_pages, strict=True))


def _num_pages(group: CacheGroup, num_tokens: int, demand: Demand) -> int:
    num_pages = -(-num_tokens // group.page_size_tokens)
    if group.window is None:
        return num_pages
    # Each sequence may begin a page with tokens in flight; full ones are as many as the tokens.
    page_size = group.page_size_tokens
    held = demand.max_num_seqs * pages_of_window(group.window, page_size, page_size)
    return min(num_pages, 2 * held + demand.max_tokens_in_flight // page_size)
