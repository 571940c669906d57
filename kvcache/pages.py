"""The pages of one cache group: which are free, and who holds the others.

A page is `page_size_tokens` tokens of every layer of the group. Page 0 is the null page: every
entry of a block table that holds no page points at it, and it is never handed out.
"""

import numpy as np
from numpy.typing import NDArray

NULL_PAGE = 0

Pages = NDArray[np.int32]


class PagePool:
    """The free pages of a group, as a stack: the page given back last is handed out first."""

    def __init__(self, num_pages: int) -> None:
        assert num_pages >= 1, "the null page always exists"
        self.num_pages = num_pages
        self.num_free = num_pages - 1
        self._free: Pages = np.arange(num_pages - 1, NULL_PAGE, -1, dtype=np.int32)

    def take(self, count: int) -> Pages:
        """Hands out `count` pages; the caller has seen that `num_free` suffices."""
        assert 0 <= count <= self.num_free, (count, self.num_free)
        self.num_free -= count
        return self._free[self.num_free : self.num_free + count][::-1].copy()

    def give_back(self, pages: Pages) -> None:
        """Makes pages free again."""
        assert self.num_free + len(pages) < self.num_pages, "more pages came back than went out"
        self._free[self.num_free : self.num_free + len(pages)] = pages[::-1]
        self.num_free += len(pages)

    def free_pages(self) -> Pages:
        """The free pages, in no order that means anything; a copy."""
        return self._free[: self.num_free].copy()
