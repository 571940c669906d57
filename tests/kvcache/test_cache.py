from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeout.kvcache.cache import PagedCache


class Group(NamedTuple):
    name: str = "full"
    layers: int = 2
    page_size_tokens: int = 16
    page_bytes_per_layer: int = 128


FULL = Group()


def make_cache(num_pages=9, groups=(FULL,), max_num_seqs=4, table_width=8):
    return PagedCache(groups, [num_pages] * len(groups), max_num_seqs, table_width)


def reserve(cache, slots, num_tokens):
    return cache.reserve(np.array(slots), np.array(num_tokens))


@pytest.mark.parametrize("num_tokens, num_pages", [(1, 1), (15, 1), (16, 1), (17, 2), (33, 3)])
def test_a_sequence_holds_just_the_pages_its_tokens_need(num_tokens, num_pages):
    cache = make_cache()
    assert reserve(cache, [2], [num_tokens])
    assert cache.num_free_pages() == (8 - num_pages,)
    cache.check_integrity()


def test_a_growing_sequence_keeps_its_pages_in_place():
    cache = make_cache()
    reserve(cache, [0], [20])
    (before,) = cache.block_tables(np.array([0]))
    reserve(cache, [1], [16])
    reserve(cache, [0], [49])
    (after,) = cache.block_tables(np.array([0]))
    assert after.shape == (1, 4)
    assert list(after[0, :2]) == list(before[0])


def test_a_reservation_that_does_not_fit_changes_nothing():
    small, large = Group("sliding"), Group("full", page_size_tokens=8)
    cache = make_cache(5, (small, large))
    assert not reserve(cache, [0, 1], [16, 32])
    assert cache.num_free_pages() == (4, 4)
    cache.check_integrity()


def test_the_rest_of_a_block_table_is_the_null_page():
    cache = make_cache()
    reserve(cache, [1, 3], [40, 5])
    (table,) = cache.block_tables(np.array([3, 1]))
    assert table.shape == (2, 3)
    assert list(table[0, 1:]) == [0, 0]
    assert table[table != 0].size == 4


def test_a_released_slot_gives_every_page_back():
    cache = make_cache(groups=(Group("a"), Group("b")))
    reserve(cache, [0, 1], [60, 60])
    cache.release(0)
    cache.release(1)
    assert cache.num_free_pages() == (8, 8)
    cache.check_integrity()


def test_a_shared_page_is_found_by_the_integrity_check():
    cache = make_cache()
    reserve(cache, [0, 1], [16, 16])
    cache.groups[0].block_table[1, 0] = cache.groups[0].block_table[0, 0]
    with pytest.raises(AssertionError, match="lost, shared"):
        cache.check_integrity()


def test_a_table_that_points_at_a_page_it_does_not_hold_is_found():
    cache = make_cache()
    reserve(cache, [0], [16])
    cache.groups[0].block_table[0, 3] = 5
    with pytest.raises(AssertionError, match="does not hold"):
        cache.check_integrity()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 128)), max_size=60))
def test_pages_are_never_lost_whatever_is_reserved_and_released(actions):
    cache, held = make_cache(20), [0, 0, 0, 0]
    for slot, num_tokens in actions:
        if num_tokens == 0:
            cache.release(slot)
            held[slot] = 0
        elif reserve(cache, [slot], [num_tokens]):
            held[slot] = max(held[slot], -(-num_tokens // 16))
        cache.check_integrity()
        assert cache.num_free_pages() == (19 - sum(held),)
