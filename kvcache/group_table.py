"""The block tables of one cache group: for each sequence slot, the pages that hold its tokens."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..artifact import CacheGroup
from .budget import pages_of_window
from .pages import NULL_PAGE, PagePool, Pages

Slots = NDArray[np.intp]
Counts = NDArray[np.int64]


class GroupTable:
    """`block_table` is i32[max_num_seqs, P]: entry [slot, i] holds tokens i*page_size_tokens on.

    A slot holds the pages of its tokens from `first_token` on, which is above 0 where a window has
    moved on. Where they end is the same in all groups, so the caller keeps that.
    """

    def __init__(
        self, group: CacheGroup, pool: PagePool, max_num_seqs: int, table_width: int
    ) -> None:
        self.pool = pool
        self.window = group.window
        self.page_size_tokens = group.page_size_tokens
        self.block_table: Pages = np.zeros((max_num_seqs, table_width), np.int32)
        self.first_token: Counts = np.zeros(max_num_seqs, np.int64)

    def first_seen_page(self, position: int) -> int:
        """The first page that the token at `position`, or a later one, can see."""
        if self.window is None:
            return 0
        return max(position - self.window + 1, 0) // self.page_size_tokens

    def pages_of(self, slot: int, end: int) -> list[int]:
        """The pages that a slot holds before page `end`, in the order of their tokens."""
        first = self.first_token[slot] // self.page_size_tokens
        pages: list[int] = self.block_table[slot, first:end].tolist()
        return pages

    def hit_bound(self, hashes: Sequence[bytes], num_pages: int) -> int:
        """A bound on how many pages, up to `num_pages`, a sequence can begin with.

        It is `num_pages` just if it can begin with these: all that it would see are here.
        """
        index = self.pool.index
        if self.window is None:
            return index.run_from_start(hashes, num_pages)
        first = self.first_seen_page(num_pages * self.page_size_tokens)
        missing = index.last_missing(hashes, first, num_pages)
        return num_pages if missing is None else missing  # hits in between would see it too

    def has_room_for(
        self,
        hashes: Sequence[bytes],
        num_tokens: int,
        max_tokens_in_flight: int,
        num_promised: int,
    ) -> bool:
        """Whether a sequence that begins with a hit of `hashes` could get all its other pages,
        `num_promised` being others'."""
        page_size = self.page_size_tokens
        first = self.first_seen_page(len(hashes) * page_size)
        most = -(-num_tokens // page_size) - first
        if self.window is not None:
            most = min(most, pages_of_window(self.window, page_size, max_tokens_in_flight))
        shared = self.pool.index.pages(hashes[first:])
        num_cached = sum(self.pool.num_references[page] == 0 for page in shared)
        return most - len(shared) <= self.pool.num_unused - num_cached - num_promised

    def attach(self, slot: int, hashes: Sequence[bytes]) -> None:
        """An empty slot begins with the pages of a hit, those alone that can still be seen."""
        first, end = self.first_seen_page(len(hashes) * self.page_size_tokens), len(hashes)
        pages = self.pool.index.pages(hashes[first:])
        self.pool.share(pages)
        self.block_table[slot, first:end] = pages
        self.first_token[slot] = first * self.page_size_tokens

    def extend(self, slots: Slots, ends: Counts, counts: Counts) -> None:
        """Adds `counts[i]` pages to `slots[i]`, which has pages up to `ends[i]`."""
        places = _entries(slots, ends, counts)
        self.block_table[places] = self.pool.take(len(places[0]))

    def register(self, slot: int, first_page: int, hashes: Sequence[bytes]) -> None:
        """Names the pages from `first_page` on, but for those that a window has left behind."""
        first = max(first_page, int(self.first_token[slot]) // self.page_size_tokens)
        pages = self.block_table[slot, first : first_page + len(hashes)].tolist()
        self.pool.index.add(pages, hashes[first - first_page :])

    def trim(self, slots: Slots, num_computed: Counts, fence: int | None) -> None:
        """Drops the pages that no token from position `num_computed` on can see."""
        if self.window is None:
            return
        first_token = self.first_token[slots]
        first_seen = num_computed - (self.window - 1)
        due = (first_seen >= first_token + self.page_size_tokens).nonzero()[0]
        if len(due) == 0:
            return
        slots, first = slots[due], first_token[due] // self.page_size_tokens
        unseen = first_seen[due] // self.page_size_tokens - first
        places = _entries(slots, first, unseen)
        pages = self.block_table[places].tolist()
        self.block_table[places] = NULL_PAGE
        self.first_token[slots] += unseen * self.page_size_tokens
        self.pool.drop(pages, fence)

    def release(self, slot: int, end: int, fence: int | None) -> None:
        """Drops the pages of a slot, its last first: a prefix is of use to more sequences."""
        self.pool.drop(self.pages_of(slot, end)[::-1], fence)
        self.block_table[slot, :end] = NULL_PAGE
        self.first_token[slot] = 0

    def check_integrity(self, ends: Counts, num_sealed: Counts) -> None:
        """Asserts what the pool does, that the rest of a row is null, and who may write where.

        A slot alone holds its pages from page `num_sealed` of it on, and they have no name.
        """
        columns = np.arange(self.block_table.shape[1])
        first_page = self.first_token // self.page_size_tokens
        is_held = (columns >= first_page[:, None]) & (columns < ends[:, None])
        assert not self.block_table[~is_held].any(), "a table points at a page it does not hold"
        self.pool.check_integrity(self.block_table[is_held])
        own = self.block_table[is_held & (columns >= num_sealed[:, None])].tolist()
        shared = [page for page in own if self.pool.num_references[page] > 1]
        assert not shared, f"pages {shared} are writable and shared"
        assert self.pool.index.has_none(own), "a writable page is indexed"


def _entries(slots: Slots, first: Counts, counts: Counts) -> tuple[Slots, Counts]:
    """Rows and columns of `counts[i]` > 0 entries of row `slots[i]` from column `first[i]` on."""
    total = int(counts.sum())
    if total == len(counts):  # one each, as when all decode
        return slots, first
    before = counts.cumsum() - counts
    columns = np.arange(total) + (first - before).repeat(counts)
    return slots.repeat(counts), columns
