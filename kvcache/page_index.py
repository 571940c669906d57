"""The prefix index of a cache group: which page holds the tokens that a hash stands for."""

from collections.abc import Iterable, Sequence


class PageIndex:
    """A hash has at most one page and a page at most one hash."""

    def __init__(self) -> None:
        self._page_of: dict[bytes, int] = {}
        self._hash_of: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._page_of)

    def __contains__(self, page: int) -> bool:
        return page in self._hash_of

    def pages(self, hashes: Iterable[bytes]) -> list[int]:
        """The pages of hashes that are all here."""
        return [self._page_of[page_hash] for page_hash in hashes]

    def named(self, pages: Iterable[int]) -> set[int]:
        """Those of the pages that have a name."""
        return self._hash_of.keys() & pages

    def has_all(self, pages: Iterable[int]) -> bool:
        """Whether each of the pages has a name."""
        return self._hash_of.keys() >= set(pages)

    def has_none(self, pages: Iterable[int]) -> bool:
        """Whether none of the pages has a name."""
        return self._hash_of.keys().isdisjoint(pages)

    def add(self, pages: Iterable[int], hashes: Iterable[bytes]) -> None:
        """Names pages; a hash that has a page keeps it, so that those who share it go on."""
        page_of, hash_of = self._page_of, self._hash_of
        for page, page_hash in zip(pages, hashes, strict=True):
            if page_of.setdefault(page_hash, page) == page:
                named = hash_of.setdefault(page, page_hash)
                assert named == page_hash, f"page {page} was registered for other tokens"

    def discard(self, page: int) -> None:
        """Takes a page's name away, if it has one."""
        page_hash = self._hash_of.pop(page, None)
        if page_hash is not None:
            del self._page_of[page_hash]

    def clear(self) -> None:
        """Takes every page's name away."""
        self._page_of.clear()
        self._hash_of.clear()

    def run_from_start(self, hashes: Sequence[bytes], end: int) -> int:
        """How many of the hashes before `end`, from the first on, have a page."""
        for number in range(end):
            if hashes[number] not in self._page_of:
                return number
        return end

    def last_missing(self, hashes: Sequence[bytes], start: int, end: int) -> int | None:
        """The last of the hashes from `start` to before `end` that has no page, if any."""
        for number in range(end - 1, start - 1, -1):
            if hashes[number] not in self._page_of:
                return number
        return None

    def check_integrity(self) -> None:
        """Asserts that hashes and pages point at each other."""
        there_and_back = dict(zip(self._hash_of.values(), self._hash_of, strict=True))
        assert self._page_of == there_and_back, "an indexed page's hash does not map back to it"
