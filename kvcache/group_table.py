"""The block tables of one cache group: for each sequence slot, the pages that hold its tokens."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..artifact import CacheGroup
from .pages import NULL_PAGE, PagePool, Pages

Slots = NDArray[np.intp]
Counts = NDArray[np.int64]


class GroupTable:
    """`block_table` is i32[max_num_seqs, P]: entry [slot, i] holds tokens i*page_size_tokens on.

    A slot's pages are the entries from `first_page` to before `end_page`; where a window has moved
    on, `first_page` is above 0. The first `num_sealed` pages are full and may be shared; the others
    are the slot's alone, to write to.
    """

    def __init__(
        self, group: CacheGroup, pool: PagePool, max_num_seqs: int, table_width: int
    ) -> None:
        self.pool = pool
        self.window = group.window
        self.page_size_tokens = group.page_size_tokens
        self.block_table: Pages = np.zeros((max_num_seqs, table_width), np.int32)
        self.first_page: Counts = np.zeros(max_num_seqs, np.int64)
        self.end_page: Counts = np.zeros(max_num_seqs, np.int64)
        self.num_sealed: Counts = np.zeros(max_num_seqs, np.int64)

    def first_seen_page(self, position: int) -> int:
        """The first page that the token at `position`, or a later one, can see."""
        if self.window is None:
            return 0
        return max(position - self.window + 1, 0) // self.page_size_tokens

    def longest_hit(self, hashes: Sequence[bytes], end: int) -> int:
        """The most pages, up to `end`, that a sequence can begin with: all it can see are here."""
        if self.window is None:
            return self.pool.index.run_from_start(hashes, end)
        while True:
            first = self.first_seen_page(end * self.page_size_tokens)
            missing = self.pool.index.last_missing(hashes, first, end)
            if missing is None:
                return end
            end = missing  # every hit in between would see the missing page too

    def attach(self, slot: int, hashes: Sequence[bytes]) -> None:
        """An empty slot begins with the pages of a hit, those alone that can still be seen."""
        assert self.end_page[slot] == 0, f"slot {slot} holds pages"
        first, end = self.first_seen_page(len(hashes) * self.page_size_tokens), len(hashes)
        pages = self.pool.index.pages(hashes[first:])
        self.pool.share(pages)
        self.block_table[slot, first:end] = pages
        self.first_page[slot] = first
        self.end_page[slot] = self.num_sealed[slot] = end

    def has_room_for(self, hashes: Sequence[bytes], num_tokens: int, max_step_tokens: int) -> bool:
        """Whether a sequence that begins with a hit of `hashes` could get all its other pages."""
        page_size, hit_end = self.page_size_tokens, len(hashes)
        first = self.first_seen_page(hit_end * page_size)
        most = -(-num_tokens // page_size) - first
        if self.window is not None:
            most = min(most, pages_of_window(self.window, page_size, max_step_tokens))
        shared = self.pool.index.pages(hashes[first:])
        num_cached = sum(self.pool.num_references[page] == 0 for page in shared)
        return most - len(shared) <= self.pool.num_unused - num_cached

    def missing(self, slots: Slots, num_tokens: Counts) -> Counts:
        """For each slot, the pages it lacks to hold `num_tokens` tokens."""
        wanted = (num_tokens + (self.page_size_tokens - 1)) // self.page_size_tokens
        missing: Counts = np.maximum(wanted - self.end_page[slots], 0)
        return missing

    def extend(self, slots: Slots, missing: Counts) -> None:
        """Appends `missing[i]` pages to the table of `slots[i]`; the pool has them."""
        end = self.end_page[slots]
        places = _entries(slots, end, missing)
        self.block_table[places] = self.pool.take(len(places[0]))
        self.end_page[slots] = end + missing

    def register(self, slot: int, first_page: int, hashes: Sequence[bytes]) -> None:
        """Pages from `first_page` on are full for good; the index learns those still held."""
        end = first_page + len(hashes)
        assert first_page <= self.num_sealed[slot], "pages are registered in order"
        assert end <= self.end_page[slot], "a page that is not there is registered"
        self.num_sealed[slot] = max(self.num_sealed[slot], end)
        pages = self.block_table[slot, first_page:end].tolist()
        for page, page_hash in zip(pages, hashes, strict=True):
            if page != NULL_PAGE:
                self.pool.index.add(page, page_hash)

    def forget(self, slot: int) -> None:
        """No later sequence begins with a page that this slot holds."""
        for page in self.pages_of(slot):
            self.pool.index.discard(page)

    def trim(self, slots: Slots, num_computed: Counts, fence: int | None) -> None:
        """Drops the pages that no token from position `num_computed` on can see."""
        if self.window is None:
            return
        first = np.maximum(num_computed - (self.window - 1), 0) // self.page_size_tokens
        unseen = first - self.first_page[slots]
        if unseen.max(initial=0) <= 0:
            return
        slots, unseen = slots[unseen > 0], unseen[unseen > 0]
        places = _entries(slots, self.first_page[slots], unseen)
        pages = self.block_table[places].tolist()
        self.block_table[places] = NULL_PAGE
        self.first_page[slots] += unseen
        self.pool.drop(pages, fence)

    def release(self, slot: int, fence: int | None) -> None:
        """Drops every page of a slot, its last first: a prefix is of use to more sequences."""
        self.pool.drop(self.pages_of(slot)[::-1], fence)
        self.block_table[slot, self.first_page[slot] : self.end_page[slot]] = NULL_PAGE
        self.first_page[slot] = self.end_page[slot] = self.num_sealed[slot] = 0

    def pages_of(self, slot: int) -> list[int]:
        """The pages that a slot holds, in the order of their tokens."""
        row: list[int] = self.block_table[
            slot, self.first_page[slot] : self.end_page[slot]
        ].tolist()
        return row

    def check_integrity(self) -> None:
        """Asserts what the pool does, that the rest of a row is null, and who may write where."""
        columns = np.arange(self.block_table.shape[1])
        is_held = (columns >= self.first_page[:, None]) & (columns < self.end_page[:, None])
        assert not self.block_table[~is_held].any(), "a table points at a page it does not hold"
        self.pool.check_integrity(self.block_table[is_held])
        is_own = is_held & (columns >= self.num_sealed[:, None])
        for page in self.block_table[is_own].tolist():
            assert self.pool.num_references[page] == 1, f"page {page} is writable and shared"
            assert page not in self.pool.index, f"page {page} is writable and indexed"


def pages_of_window(window: int, page_size_tokens: int, max_step_tokens: int) -> int:
    """The most pages that a sequence holds at a time in a group with a window."""
    return -(-(window + max_step_tokens) // page_size_tokens) + 1


def _entries(slots: Slots, first: Counts, counts: Counts) -> tuple[Slots, Counts]:
    """Rows and columns of `counts[i]` entries of row `slots[i]` from column `first[i]` on."""
    before = np.cumsum(counts) - counts
    columns = np.arange(counts.sum()) + np.repeat(first - before, counts)
    return np.repeat(slots, counts), columns
