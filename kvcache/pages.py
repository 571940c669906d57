"""The pages of one cache group: which are free, which are cached, and how often others are held.

A page is `page_size_tokens` tokens of every layer of the group. Page 0 is the null page: every
entry of a block table that holds no page points at it, and it is never handed out. Of the others,

* a *free* page holds nothing,
* a *cached* page is held by nobody, but the index knows what is in it; it is free when need be,
* a *used* page has references: entries of block tables, or of a fence that waits for a step.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .page_index import PageIndex

NULL_PAGE = 0

Pages = NDArray[np.int32]


class PagePool:
    """Free pages are a stack, the last given back first; cached ones a queue, least recent first.

    `keeps_cached` False frees a page with its last reference, known to the index or not.
    """

    def __init__(self, num_pages: int, keeps_cached: bool = True) -> None:
        assert num_pages >= 1, "the null page always exists"
        self.num_pages = num_pages
        self.index = PageIndex()
        self.num_references = [0] * num_pages
        self._keeps_cached = keeps_cached
        self._free = list(range(num_pages - 1, NULL_PAGE, -1))
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._fenced: deque[tuple[int, Sequence[int]]] = deque()  # (step, pages), by step

    @property
    def num_unused(self) -> int:
        """Pages that `take` can hand out: free and cached ones."""
        return len(self._free) + len(self._cached)

    @property
    def num_unused_after_fences(self) -> int:
        """What `num_unused` will be when every step in flight has passed."""
        fenced = Counter(page for _, pages in self._fenced for page in pages)
        return self.num_unused + sum(self.num_references[p] == n for p, n in fenced.items())

    def take(self, count: int) -> list[int]:
        """Hands out pages with a reference each; the caller has seen that `num_unused` suffices."""
        assert 0 <= count <= self.num_unused, (count, self.num_unused)
        while len(self._free) < count:
            self._evict()
        first = len(self._free) - count
        pages = self._free[first:]
        del self._free[first:]
        for page in pages:
            self.num_references[page] = 1
        return pages[::-1]

    def share(self, pages: Sequence[int]) -> None:
        """Adds a reference to pages that are used or cached."""
        for page in pages:
            if self.num_references[page] == 0:
                del self._cached[page]
            self.num_references[page] += 1

    def drop(self, pages: Sequence[int], fence: int | None = None) -> None:
        """Takes a reference of each page away, once step `fence` is settled; None: now.

        Pages that stay cached are evicted in the order given here.
        """
        if fence is not None:
            self._fenced.append((fence, pages))
            return
        references, unheld = self.num_references, []
        for page in pages:
            left = references[page] - 1
            assert left >= 0, f"page {page} has no reference"
            references[page] = left
            if left == 0:
                unheld.append(page)
        self._put_away(unheld)

    def settle(self, step_id: int) -> None:
        """Steps up to `step_id` are done: what waited for them goes."""
        while self._fenced and self._fenced[0][0] <= step_id:
            self.drop(self._fenced.popleft()[1])

    def clear(self) -> None:
        """Forgets what is in every page; no step is in flight, and nothing waits for one."""
        assert not self._fenced, "pages wait for a step"
        self.index.clear()
        self._free.extend(self._cached)
        self._cached.clear()

    def _put_away(self, pages: Sequence[int]) -> None:
        named = self.index.named(pages)
        if not named:
            self._free.extend(pages)
            return
        for page in pages:
            if self._keeps_cached and page in named:
                self._cached[page] = None
            else:
                self.index.discard(page)
                self._free.append(page)

    def _evict(self) -> None:
        page, _ = self._cached.popitem(last=False)
        self.index.discard(page)
        self._free.append(page)

    def check_integrity(self, table_entries: Pages) -> None:
        """Asserts that each page is free, cached or used, by just these entries and the fences."""
        held = table_entries.tolist()
        for _, pages in self._fenced:
            held += pages
        references = np.bincount(np.array(held, np.intp), minlength=self.num_pages).tolist()
        assert references == self.num_references, (
            "a page's references are not its entries in tables and fences"
        )
        used = [page for page, count in enumerate(references) if count]
        pages = sorted([*self._free, *self._cached, *used])
        assert pages == list(range(NULL_PAGE + 1, self.num_pages)), (
            "a page is lost, in two states, or handed out as null"
        )
        assert self.index.has_all(self._cached), "a cached page is not indexed"
        assert self.index.has_none(self._free), "a free page is indexed"
        self.index.check_integrity()
