"""The paged cache of a model: one set of pages and block tables for each cache group.

It keeps the books; the memory itself belongs to the executor. All groups grow together: a sequence
holds its tokens in every group or in none, but for those that a window has left behind.
"""

from collections.abc import Sequence

import numpy as np

from ..artifact import CacheGroup
from .group_table import Counts, GroupTable, Slots
from .pages import PagePool, Pages


class PagedCache:
    """Pages and block tables for `max_num_seqs` sequence slots.

    Steps may be in flight: pages that one of them may still touch are dropped with a `fence`, the
    last such step, and stay as they are until it is settled.
    """

    def __init__(
        self,
        groups: Sequence[CacheGroup],
        num_pages: Sequence[int],
        max_num_seqs: int,
        table_width: int,
        enable_prefix_caching: bool = True,
        max_tokens_in_flight: int | None = None,
    ) -> None:
        sizes = {group.page_size_tokens for group in groups}
        assert len(sizes) == 1, f"pages of all groups hold equally many tokens, not {sizes}"
        (self.page_size_tokens,) = sizes
        self.groups = tuple(
            GroupTable(group, PagePool(count, enable_prefix_caching), max_num_seqs, table_width)
            for group, count in zip(groups, num_pages, strict=True)
        )
        self._max_tokens_in_flight = max_tokens_in_flight or table_width * self.page_size_tokens
        self._end_token: Counts = np.zeros(max_num_seqs, np.int64)  # pages hold the tokens before
        self._num_sealed: Counts = np.zeros(max_num_seqs, np.int64)  # pages never written again

    # ---- a sequence begins ----

    def may_match(self, first_hash: bytes) -> bool:
        """Whether any pages may match that begin with this one: all but windows must have it."""
        full = (group.pool.index for group in self.groups if group.window is None)
        return all(index.run_from_start([first_hash], 1) for index in full)

    def match(self, hashes: Sequence[bytes]) -> int:
        """With how many of these pages, the first ones, a sequence can begin in every group."""
        hit, bound = -1, len(hashes)
        while hit != bound:  # until it suits every group
            hit = bound
            for group in self.groups:
                bound = group.hit_bound(hashes, bound)
        return hit

    def has_room_for(
        self, hashes: Sequence[bytes], num_hit_pages: int, num_tokens: int, num_promised: int = 0
    ) -> bool:
        """Whether a sequence with this hit could get pages for `num_tokens` tokens now, when
        others have been promised `num_promised` of each group."""
        hit, most = hashes[:num_hit_pages], self._max_tokens_in_flight
        return all(g.has_room_for(hit, num_tokens, most, num_promised) for g in self.groups)

    def num_pages_of(self, num_tokens: int) -> int:
        """The pages that so many tokens take from a page's start on."""
        return -(-num_tokens // self.page_size_tokens)

    def attach(self, slot: int, hashes: Sequence[bytes]) -> None:
        """An empty slot begins with the pages of these hashes; `match` has found them all."""
        assert self._end_token[slot] == 0, f"slot {slot} holds pages"
        for group in self.groups:
            group.attach(slot, hashes)
        self._end_token[slot] = len(hashes) * self.page_size_tokens
        self._num_sealed[slot] = len(hashes)

    # ---- it runs ----

    def reserve(self, slots: Slots, num_tokens: Counts) -> bool:
        """Gives each slot the pages to hold `num_tokens` tokens in all; cached pages may go.

        False, and nothing is changed, if any group has too few.
        """
        end_token = self._end_token[slots]
        short = (num_tokens > end_token).nonzero()[0]
        if len(short) == 0:
            return True
        slots, ends = slots[short], end_token[short] // self.page_size_tokens
        missing = self._num_pages(num_tokens[short]) - ends
        if missing.sum() > min(self.num_free_pages()):
            return False
        for group in self.groups:
            group.extend(slots, ends, missing)
        self._end_token[slots] = (ends + missing) * self.page_size_tokens
        return True

    def can_wait_for(self, slots: Slots, num_tokens: Counts) -> bool:
        """Whether `reserve` will succeed once the steps in flight are done."""
        ends = self._end_token[slots] // self.page_size_tokens
        missing = np.maximum(self._num_pages(num_tokens) - ends, 0).sum()
        return all(missing <= group.pool.num_unused_after_fences for group in self.groups)

    def register(self, slot: int, first_page: int, hashes: Sequence[bytes]) -> None:
        """Pages from `first_page` on are full, by completed steps and with finite values.

        Later sequences can begin with them. A hash that has a page already keeps that one.
        """
        end, num_sealed = first_page + len(hashes), int(self._num_sealed[slot])
        assert first_page <= num_sealed, "pages are registered in order"
        assert end <= self._end_page(slot), "a page that is not there is registered"
        self._num_sealed[slot] = max(num_sealed, end)
        for group in self.groups:
            group.register(slot, first_page, hashes)

    def trim(self, slots: Slots, num_computed: Counts, fence: int | None) -> None:
        """Drops what no token from position `num_computed` on can see through a window."""
        for group in self.groups:
            group.trim(slots, num_computed, fence)

    def block_tables(self, slots: Slots) -> tuple[Pages, ...]:
        """For each group i32[S, P], a copy; P is the most pages that any of the slots reaches."""
        width = max(1, int(self._end_token[slots].max()) // self.page_size_tokens)
        return tuple(group.block_table[:, :width][slots] for group in self.groups)

    # ---- it ends ----

    def release(self, slot: int, fence: int | None) -> None:
        """Drops every page of a slot, in every group."""
        for group in self.groups:
            group.release(slot, self._end_page(slot), fence)
        self._end_token[slot] = self._num_sealed[slot] = 0

    def settle(self, step_id: int) -> None:
        """Steps up to `step_id` are done; what was dropped with such a fence comes back."""
        for group in self.groups:
            group.pool.settle(step_id)

    def forget(self, slot: int) -> None:
        """No later sequence begins with a page that this slot holds: its values are not sound."""
        for group in self.groups:
            for page in group.pages_of(slot, self._end_page(slot)):
                group.pool.index.discard(page)

    def clear(self) -> None:
        """The memory is lost; all slots have been released, and all steps settled."""
        assert not self._end_token.any(), "a slot still holds pages"
        for group in self.groups:
            group.pool.clear()

    # ---- how it stands ----

    def num_pages(self) -> tuple[int, ...]:
        """The pages of each group that sequences can hold."""
        return tuple(group.pool.num_pages - 1 for group in self.groups)  # less the null page

    def num_free_pages(self) -> tuple[int, ...]:
        """The pages of each group that nobody holds, cached ones among them."""
        return tuple(group.pool.num_unused for group in self.groups)

    def check_integrity(self) -> None:
        """Asserts that every page of every group is where it should be, and just there."""
        for group in self.groups:
            group.check_integrity(self._end_token // self.page_size_tokens, self._num_sealed)

    def _end_page(self, slot: int) -> int:
        return int(self._end_token[slot]) // self.page_size_tokens

    def _num_pages(self, num_tokens: Counts) -> Counts:
        """The pages that hold so many tokens each."""
        pages: Counts = (num_tokens + (self.page_size_tokens - 1)) // self.page_size_tokens
        return pages
