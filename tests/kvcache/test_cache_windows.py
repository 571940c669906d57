"""Groups of unlike windows: what they hold, drop and give to sequences that come later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cache import FULL, PAGE, SmallCache, names, run_to_end, window_group


def hybrid(window, num_pages=17, **options):
    return SmallCache(num_pages, (FULL, window_group(window)), **options)


def columns(cache, slot, group=1):
    """The places in a slot's row that hold a page."""
    return np.flatnonzero(cache.row(slot, group)).tolist()


@pytest.mark.parametrize(
    ("num_computed", "kept"),
    [(0, [0, 1, 2, 3]), (7, [0, 1, 2, 3]), (8, [1, 2, 3]), (11, [1, 2, 3]), (12, [2, 3])],
)
def test_a_window_of_five_keeps_the_pages_of_four_tokens_back(num_computed, kept):
    cache = hybrid(5)
    cache.grow(s0=16)
    cache.slide(0, num_computed)
    assert columns(cache, 0) == kept
    assert columns(cache, 0, group=0) == [0, 1, 2, 3]
    cache.check_integrity()


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 8, 9, 100])
@pytest.mark.parametrize("num_computed", [0, 1, 3, 4, 5, 8, 15, 16])
def test_just_the_pages_that_some_later_token_sees_are_kept(window, num_computed):
    cache = hybrid(window)
    cache.grow(s0=16)
    cache.slide(0, num_computed)
    seen = range(max(num_computed - window + 1, 0), 16)
    assert columns(cache, 0) == sorted({position // PAGE for position in seen})


def test_a_long_sequence_runs_in_the_pages_of_its_window():
    cache = SmallCache([17, 4], (FULL, window_group(5)))
    for num_tokens in range(1, 65):
        cache.slide(0, num_tokens - 1)
        assert cache.grow(s0=num_tokens)
        cache.check_integrity()
    assert cache.num_free_pages() == (0, 1)


def test_many_slots_are_trimmed_at_once_and_several_pages_of_each():
    cache = hybrid(1, num_pages=33)
    cache.grow(s0=16, s1=4, s3=12)
    cache.trim(np.array([3, 0, 1]), np.array([12, 9, 0]), None)
    assert [columns(cache, slot) for slot in (0, 1, 3)] == [[2, 3], [0], []]
    assert cache.num_free_pages() == (24, 29)
    cache.check_integrity()


def test_pages_behind_the_window_wait_for_the_step_in_flight():
    cache = hybrid(4, num_pages=3)
    cache.grow(s0=8)
    cache.slide(0, 7, fence=2)
    assert columns(cache, 0) == [1]
    assert cache.num_free_pages() == (0, 0)
    cache.settle(2)
    assert cache.num_free_pages() == (0, 1)
    cache.check_integrity()


def test_a_page_that_two_slots_leave_behind_at_once_comes_back_once():
    cache = hybrid(4)
    run_to_end(cache, 0, "ab")
    cache.attach(0, names("ab"))
    cache.attach(1, names("ab"))
    cache.grow(s0=12, s1=12)
    cache.trim(np.array([0, 1]), np.array([12, 12]), None)
    assert columns(cache, 0) == columns(cache, 1) == [2]
    cache.check_integrity()


# ---- hits ----


@pytest.mark.parametrize("window, first", [(1, 4), (2, 3), (5, 3), (6, 2), (9, 2), (10, 1)])
def test_a_hit_attaches_only_what_the_next_token_sees(window, first):
    cache = hybrid(window)
    run_to_end(cache, 0, "abcd")
    cache.attach(1, names("abcd"))
    assert columns(cache, 1) == list(range(first, 4))
    assert columns(cache, 1, group=0) == [0, 1, 2, 3]
    cache.grow(s1=20)
    cache.check_integrity()


def lose(cache, text, number, group=1):
    """The page of a chain leaves one group's index."""
    (page,) = cache.groups[group].pool.index.pages(names(text)[number : number + 1])
    cache.groups[group].pool.index.discard(page)


@pytest.mark.parametrize("lost, hit", [(0, 4), (1, 4), (2, 2), (3, 3)])
def test_a_hit_needs_the_pages_in_the_window_before_it(lost, hit):
    cache = hybrid(6)  # sees two pages back
    cache.grow(s0=16)
    cache.register(0, 0, names("abcd"))
    lose(cache, "abcd", lost)
    assert cache.match(names("abcd")) == hit


def test_pages_may_match_unless_a_group_without_a_window_lacks_the_first():
    cache, (first, *_) = hybrid(6), names("ab")
    assert not cache.may_match(first)
    cache.grow(s0=8)
    cache.register(0, 0, names("ab"))
    lose(cache, "ab", 0)
    assert cache.may_match(first)  # a window does not see it for long
    lose(cache, "ab", 0, group=0)
    assert not cache.may_match(first)
    assert SmallCache(9, (window_group(6),)).may_match(first)


def test_a_hit_is_one_of_every_group():
    cache = SmallCache(17, (FULL, window_group(2), window_group(6)))
    cache.grow(s0=20)
    cache.register(0, 0, names("abcde"))
    lose(cache, "abcde", 4, group=1)
    lose(cache, "abcde", 3, group=2)
    assert cache.match(names("abcde")) == 3
    lose(cache, "abcde", 2, group=0)
    assert cache.match(names("abcde")) == 2
    lose(cache, "abcde", 1, group=1)
    assert cache.match(names("abcde")) == 1
    lose(cache, "abcde", 0, group=2)
    assert cache.match(names("abcde")) == 0


@given(st.sampled_from([1, 3, 4, 5, 9]), st.sampled_from([None, 2, 6]), st.data())
def test_no_longer_hit_is_possible(window, other, data):
    groups = (window_group(window), FULL._replace(window=other))
    cache, chain = SmallCache(17, groups), names("abcdef")
    cache.grow(s0=24)
    cache.register(0, 0, chain)
    for group in (0, 1):
        for number in data.draw(st.sets(st.integers(0, 5), max_size=3)):
            lose(cache, "abcdef", number, group)
    hit = cache.match(chain)
    cache.attach(1, chain[:hit])
    for longer in range(hit + 1, 7):
        with pytest.raises(KeyError):
            for group in cache.groups:
                group.pool.index.pages(chain[group.first_seen_page(longer * PAGE) : longer])


def test_pages_left_behind_stay_cached_for_shorter_prefixes():
    cache = hybrid(4)
    cache.grow(s0=16)
    cache.register(0, 0, names("abcd"))
    cache.slide(0, 16)
    assert cache.match(names("ab")) == 2
    assert cache.num_free_pages() == (12, 15)
    cache.check_integrity()


def test_a_page_already_left_behind_is_passed_over_by_register():
    cache = hybrid(4)
    cache.grow(s0=16)
    cache.slide(0, 12)
    cache.register(0, 0, names("abcd"))
    assert cache.match(names("abc")) == 3
    assert cache.match(names("ab")) == 0
    cache.check_integrity()


# ---- room ----


def test_a_long_prompt_needs_no_more_of_a_window_than_a_step_of_it():
    cache = SmallCache(
        [17, 6], (FULL, window_group(8)), max_tokens_in_flight=8
    )  # five pages at most
    assert cache.has_room_for([], 0, 64)
    cache.grow(s0=4)
    assert not cache.has_room_for([], 0, 60)
    assert cache.has_room_for([], 0, 16)


def test_a_hit_in_a_window_that_is_cached_makes_no_room():
    cache = SmallCache([17, 4], (FULL, window_group(5)), max_tokens_in_flight=4)
    run_to_end(cache, 0, "ab")
    cache.grow(s1=4)
    assert cache.has_room_for(names("ab"), 2, 12)
    cache.attach(2, names("a"))
    assert not cache.has_room_for(names("ab"), 2, 12)
