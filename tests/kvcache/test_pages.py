import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeout.kvcache.pages import NULL_PAGE, PagePool


def test_every_page_but_the_null_page_is_handed_out_once():
    pool = PagePool(8)
    pages = np.concatenate([pool.take(3), pool.take(4)])
    assert sorted(pages) == [1, 2, 3, 4, 5, 6, 7]
    assert pool.num_free == 0


def test_a_page_given_back_last_is_handed_out_first():
    pool = PagePool(8)
    pages = pool.take(5)
    pool.give_back(pages[1:3])
    assert pool.take(1)[0] == pages[1]


def test_pages_that_never_went_out_cannot_come_back():
    with pytest.raises(AssertionError, match="more pages came back"):
        PagePool(2).give_back(np.array([1, 1], np.int32))


@given(st.lists(st.integers(0, 5), max_size=60), st.randoms(use_true_random=False))
def test_no_page_is_lost_or_shared_however_they_come_and_go(sizes, random):
    pool, held = PagePool(24), []
    for size in sizes:
        if size <= pool.num_free and random.random() < 0.6:
            held.append(pool.take(size))
        elif held:
            pool.give_back(held.pop(random.randrange(len(held))))
        pages = np.concatenate([pool.free_pages(), *held])
        assert sorted(pages) == list(range(NULL_PAGE + 1, 24))
