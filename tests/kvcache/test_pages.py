import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeout.kvcache.pages import NULL_PAGE, PagePool


def pool_with_cached(num_pages, *hashes):
    """A pool whose pages of these hashes are cached, the first the least recent."""
    pool = PagePool(num_pages)
    for page_hash in hashes:
        (page,) = pool.take(1)
        pool.index.add([page], [page_hash])
        pool.drop([page])
    return pool


def check(pool, *held):
    pool.check_integrity(np.array(held, np.int32))


def test_every_page_but_the_null_page_is_handed_out_once():
    pool = PagePool(8)
    assert sorted(pool.take(3) + pool.take(4)) == [1, 2, 3, 4, 5, 6, 7]
    assert pool.num_unused == 0


def test_a_page_given_back_last_is_handed_out_first():
    pool = PagePool(8)
    pages = pool.take(5)
    pool.drop(pages[1:3])
    assert pool.take(1) == [pages[2]]


@pytest.mark.parametrize("num_pages, count", [(1, 0), (1, 1), (2, 1), (2, 2), (9, 7), (9, 8)])
def test_a_pool_hands_out_up_to_all_but_the_null_page(num_pages, count):
    pool = PagePool(num_pages)
    if count < num_pages:
        assert NULL_PAGE not in pool.take(count)
        assert pool.num_unused == num_pages - 1 - count
    else:
        with pytest.raises(AssertionError):
            pool.take(count)


def test_a_page_that_nobody_holds_cannot_be_dropped():
    with pytest.raises(AssertionError, match="page 1 has no reference"):
        PagePool(2).drop([1])


def test_a_shared_page_stays_until_its_last_reference_goes():
    pool = PagePool(3)
    pages = pool.take(1)
    pool.share(pages)
    pool.drop(pages)
    assert pool.num_unused == 1
    pool.drop(pages)
    assert pool.num_unused == 2


def test_a_page_that_is_dropped_twice_at_once_comes_back_once():
    pool = PagePool(4)
    (page,) = pool.take(1)
    pool.share([page])
    pool.drop([page, page])
    check(pool)


def test_cached_pages_count_as_unused_and_are_found_again():
    pool = pool_with_cached(4, b"x")
    assert pool.num_unused == 3
    (page,) = pool.index.pages([b"x"])
    pool.share([page])
    assert pool.num_unused == 2
    check(pool, page)


def test_free_pages_go_out_before_cached_ones():
    pool = pool_with_cached(4, b"x")
    pool.take(2)
    assert len(pool.index) == 1
    pool.take(1)
    assert len(pool.index) == 0


def test_the_least_recent_cached_page_is_evicted_first():
    pool = pool_with_cached(4, b"x", b"y", b"z")
    pool.share(pool.index.pages([b"x"]))
    pool.drop(pool.index.pages([b"x"]))
    pool.take(1)
    assert pool.index.run_from_start([b"z", b"x", b"y"], 3) == 2


def test_an_evicted_page_forgets_its_name():
    pool = pool_with_cached(2, b"x")
    check(pool, *pool.take(1))


def test_a_pool_that_keeps_nothing_frees_a_page_with_its_last_reference():
    pool = PagePool(4, keeps_cached=False)
    (page,) = pool.take(1)
    pool.index.add([page], [b"x"])
    pool.share([page])
    pool.drop([page])
    assert pool.index.run_from_start([b"x"], 1) == 1
    pool.drop([page])
    assert pool.index.run_from_start([b"x"], 1) == 0
    check(pool)


def test_a_fenced_page_comes_back_when_its_step_is_settled():
    pool = PagePool(4)
    first, second = pool.take(1), pool.take(2)
    pool.drop(first, fence=5)
    pool.drop(second, fence=6)
    pool.settle(4)
    assert pool.num_unused == 0
    pool.settle(5)
    assert pool.num_unused == 1
    pool.settle(9)
    assert pool.num_unused == 3


def test_a_fenced_page_that_is_shared_meanwhile_stays():
    pool = PagePool(3)
    pages = pool.take(1)
    pool.index.add([pages[0]], [b"x"])
    pool.drop(pages, fence=1)
    assert pool.num_unused_after_fences == 2
    pool.share(pages)
    assert pool.num_unused_after_fences == 1
    check(pool, *pages)
    pool.settle(1)
    check(pool, *pages)


def test_a_page_fenced_twice_is_unused_after_both():
    pool = PagePool(2)
    pages = pool.take(1)
    pool.share(pages)
    pool.drop(pages, fence=1)
    pool.drop(pages, fence=2)
    assert pool.num_unused_after_fences == 1
    pool.settle(1)
    assert pool.num_unused == 0
    pool.settle(2)
    assert pool.num_unused == 1


def test_clear_frees_what_is_cached():
    pool = pool_with_cached(5, b"x", b"y")
    pool.clear()
    assert pool.num_unused == 4 and len(pool.index) == 0
    check(pool)


def break_references(pool, page):
    pool.num_references[page] += 1


def break_free(pool, page):
    pool._free.append(page)


def break_null(pool, page):
    pool._free.append(NULL_PAGE)


def lose(pool, page):
    pool._free.pop()


def cache_unnamed(pool, page):
    pool._cached[pool._free.pop()] = None


def name_free(pool, page):
    pool.index.add([pool._free[0]], [b"y"])


@pytest.mark.parametrize(
    "damage, message",
    [
        (break_references, "references are not"),
        (break_free, "two states"),
        (break_null, "handed out as null"),
        (lose, "lost"),
        (cache_unnamed, "cached page is not indexed"),
        (name_free, "free page is indexed"),
    ],
)
def test_the_integrity_check_finds(damage, message):
    pool = pool_with_cached(8, b"x")
    (page,) = pool.take(1)
    check(pool, page)
    damage(pool, page)
    with pytest.raises(AssertionError, match=message):
        check(pool, page)


@given(st.lists(st.integers(0, 5), max_size=60), st.randoms(use_true_random=False))
def test_no_page_is_lost_or_shared_however_they_come_and_go(sizes, random):
    pool, held = PagePool(24), []
    for step, size in enumerate(sizes):
        if size <= pool.num_unused and random.random() < 0.6:
            held.append(pool.take(size))
        elif held:
            pages = held.pop(random.randrange(len(held)))
            for page in pages[:2]:
                pool.index.add([page], [b"%d at %d" % (page, step)])
            pool.drop(pages, random.choice([None, step + 2]))
        pool.settle(step)
        check(pool, *(page for pages in held for page in pages))
