"""The block tables of one cache group: for each sequence slot, the pages that hold its tokens."""

import numpy as np
from numpy.typing import NDArray

from .pages import NULL_PAGE, PagePool, Pages

Slots = NDArray[np.intp]
Counts = NDArray[np.int64]


class GroupTable:
    """`block_table` is i32[max_num_seqs, P]: entry [slot, i] holds tokens i*page_size_tokens on."""

    def __init__(
        self, num_pages: int, page_size_tokens: int, max_num_seqs: int, table_width: int
    ) -> None:
        self.pool = PagePool(num_pages)
        self.page_size_tokens = page_size_tokens
        self.block_table: Pages = np.zeros((max_num_seqs, table_width), np.int32)
        self.num_held: Counts = np.zeros(max_num_seqs, np.int64)

    def missing(self, slots: Slots, num_tokens: Counts) -> Counts:
        """For each slot, the pages it lacks to hold `num_tokens` tokens."""
        wanted = (num_tokens + (self.page_size_tokens - 1)) // self.page_size_tokens
        missing: Counts = np.maximum(wanted - self.num_held[slots], 0)
        return missing

    def extend(self, slots: Slots, missing: Counts) -> None:
        """Appends `missing[i]` pages to the table of `slots[i]`; the pool has them."""
        total = int(missing.sum())
        if total == 0:
            return
        held = self.num_held[slots]
        first = np.cumsum(missing) - missing
        columns = np.arange(total) + np.repeat(held - first, missing)
        self.block_table[np.repeat(slots, missing), columns] = self.pool.take(total)
        self.num_held[slots] = held + missing

    def release(self, slot: int) -> None:
        """Gives back every page of a slot."""
        held = int(self.num_held[slot])
        self.pool.give_back(self.block_table[slot, :held])
        self.block_table[slot, :held] = NULL_PAGE
        self.num_held[slot] = 0

    def check_integrity(self) -> None:
        """Asserts that each page is free or held exactly once, and the rest of a row is null."""
        columns = np.arange(self.block_table.shape[1])
        is_held = columns[None, :] < self.num_held[:, None]
        assert not self.block_table[~is_held].any(), "a table points at a page it does not hold"
        held = self.block_table[is_held]
        pages = np.sort(np.concatenate([held, self.pool.free_pages()]))
        wanted = np.arange(NULL_PAGE + 1, self.pool.num_pages)
        assert np.array_equal(pages, wanted), "a page is lost, shared, or handed out as null"
