"""Small caches, and short words for what is done to them."""

from typing import NamedTuple

import numpy as np

from tapeout.kvcache.cache import PagedCache

PAGE = 4


class Group(NamedTuple):
    name: str = "full"
    layers: int = 2
    page_size_tokens: int = PAGE
    page_bytes_per_layer: int = 128
    window: int | None = None


FULL = Group()


def window_group(window):
    return Group(f"window_{window}", window=window)


class SmallCache(PagedCache):
    """A cache of pages of four tokens that takes plain lists."""

    def __init__(self, num_pages=9, groups=(FULL,), max_num_seqs=4, table_width=16, **options):
        counts = num_pages if isinstance(num_pages, list) else [num_pages] * len(groups)
        super().__init__(groups, counts, max_num_seqs, table_width, **options)

    def grow(self, **num_tokens):
        """`grow(s0=9, s3=4)`: slot 0 is to hold 9 tokens, slot 3 is to hold 4."""
        slots = np.array([int(name[1:]) for name in num_tokens])
        return self.reserve(slots, np.array(list(num_tokens.values())))

    def slide(self, slot, num_computed, fence=None):
        self.trim(np.array([slot]), np.array([num_computed]), fence)

    def pages(self, slot, group=0):
        return self.groups[group].pages_of(slot, self._end_page(slot))

    def row(self, slot, group=0):
        return self.block_tables(np.array([slot]))[group][0].tolist()


def names(text):
    """A chain of page hashes: one for each letter, which stands for all letters up to it."""
    return [text[: end + 1].encode() for end in range(len(text))]


def run_to_end(cache, slot, text):
    """A sequence of full pages comes, is computed, registered and released."""
    assert cache.grow(**{f"s{slot}": len(text) * PAGE})
    cache.register(slot, 0, names(text))
    cache.release(slot, None)
