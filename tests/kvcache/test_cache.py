import numpy as np
import pytest
from small_cache import FULL, PAGE, Group, SmallCache, names, run_to_end, window_group


@pytest.mark.parametrize("num_tokens, num_pages", [(1, 1), (3, 1), (4, 1), (5, 2), (9, 3)])
def test_a_sequence_holds_just_the_pages_its_tokens_need(num_tokens, num_pages):
    cache = SmallCache()
    assert cache.grow(s2=num_tokens)
    assert cache.num_free_pages() == (8 - num_pages,)
    cache.check_integrity()


def test_a_growing_sequence_keeps_its_pages_in_place():
    cache = SmallCache()
    cache.grow(s0=5)
    before = cache.pages(0)
    cache.grow(s1=4)
    cache.grow(s0=13)
    assert len(cache.pages(0)) == 4
    assert cache.pages(0)[:2] == before


def test_a_reservation_for_fewer_tokens_keeps_what_is_there():
    cache = SmallCache()
    cache.grow(s0=13)
    assert cache.grow(s0=1)
    assert len(cache.pages(0)) == 4


def test_a_reservation_that_does_not_fit_changes_nothing():
    cache = SmallCache([9, 5], (Group("a"), Group("b")))
    assert not cache.grow(s0=8, s1=12)
    assert cache.num_free_pages() == (8, 4)
    assert cache.grow(s0=8, s1=8)
    cache.check_integrity()


@pytest.mark.parametrize("num_pages", [1, 2, 3, 8])
def test_a_pool_holds_its_last_page_and_no_token_more(num_pages):
    cache = SmallCache(num_pages + 1)
    assert not cache.grow(s0=num_pages * PAGE + 1)
    assert cache.grow(s0=num_pages * PAGE)
    assert cache.num_free_pages() == (0,)
    assert cache.grow(s0=num_pages * PAGE), "nothing more is asked for"
    assert not cache.grow(s1=1)
    cache.check_integrity()


def test_a_cache_of_null_pages_alone_holds_nothing():
    cache = SmallCache(1)
    assert not cache.grow(s0=1)
    assert cache.grow(s0=0)
    cache.check_integrity()


def test_the_rest_of_a_block_table_is_the_null_page():
    cache = SmallCache()
    cache.grow(s1=10, s3=3)
    (table,) = cache.block_tables(np.array([3, 1]))
    assert table.shape == (2, 3) and table.dtype == np.int32
    assert table[0, 1:].tolist() == [0, 0]
    assert np.count_nonzero(table) == 4


def test_block_tables_are_as_wide_as_the_widest_group():
    cache = SmallCache(groups=(FULL, window_group(4)))
    cache.grow(s0=12)
    cache.slide(0, 12)
    full, window = cache.block_tables(np.array([0]))
    assert full.shape == window.shape == (1, 3)
    assert window[0, :2].tolist() == [0, 0] and window[0, 2] != 0


def test_block_tables_of_empty_slots_are_one_null_page_wide():
    (table,) = SmallCache().block_tables(np.array([0, 1]))
    assert table.tolist() == [[0], [0]]


def test_block_tables_do_not_change_when_a_slot_is_released():
    cache = SmallCache()
    cache.grow(s0=8)
    (table,) = cache.block_tables(np.array([0]))
    cache.release(0, None)
    assert np.count_nonzero(table) == 2


def test_a_released_slot_gives_every_page_back():
    cache = SmallCache(groups=(Group("a"), Group("b")))
    cache.grow(s0=15, s1=15)
    cache.release(0, None)
    cache.release(1, None)
    assert cache.num_free_pages() == (8, 8)
    cache.check_integrity()


def test_groups_of_unlike_pages_are_refused():
    with pytest.raises(AssertionError, match="equally many tokens"):
        SmallCache(groups=(FULL, Group("latent", page_size_tokens=16)))


# ---- prefixes ----


@pytest.mark.parametrize("asked, hit", [("abc", 3), ("ab", 2), ("abx", 2), ("xbc", 0), ("", 0)])
def test_a_hit_is_the_longest_chain_of_registered_pages(asked, hit):
    cache = SmallCache()
    run_to_end(cache, 0, "abc")
    assert cache.match(names(asked)) == hit


def test_pages_that_are_not_registered_are_no_hit():
    cache = SmallCache()
    cache.grow(s0=12)
    assert cache.match(names("abc")) == 0
    cache.register(0, 0, names("ab"))
    assert cache.match(names("abc")) == 2


def test_a_hit_shares_pages_with_a_sequence_that_runs():
    cache = SmallCache()
    cache.grow(s0=12)
    cache.register(0, 0, names("ab"))
    cache.attach(1, names("ab"))
    cache.grow(s1=12)
    assert cache.pages(1)[:2] == cache.pages(0)[:2]
    assert cache.pages(1)[2] != cache.pages(0)[2]
    assert cache.num_free_pages() == (4,)
    cache.check_integrity()


def test_a_shared_page_outlives_the_sequence_that_wrote_it():
    cache = SmallCache()
    cache.grow(s0=8)
    cache.register(0, 0, names("ab"))
    cache.attach(1, names("ab"))
    shared = cache.pages(1)
    cache.release(0, None)
    assert cache.num_free_pages() == (6,)
    assert cache.grow(s2=24)
    assert not set(cache.pages(2)) & set(shared)
    cache.check_integrity()


def test_a_hit_of_no_page_leaves_the_slot_empty():
    cache = SmallCache()
    cache.attach(0, [])
    assert cache.pages(0) == []
    cache.check_integrity()


def test_a_slot_that_holds_pages_takes_no_hit():
    cache = SmallCache()
    run_to_end(cache, 0, "ab")
    cache.grow(s1=1)
    with pytest.raises(AssertionError, match="slot 1 holds pages"):
        cache.attach(1, names("ab"))


def test_a_hash_that_is_there_keeps_its_older_page():
    cache = SmallCache()
    cache.grow(s0=4, s1=4)
    older = cache.pages(0)
    cache.register(0, 0, names("a"))
    cache.register(1, 0, names("a"))
    cache.attach(2, names("a"))
    assert cache.pages(2) == older
    cache.release(1, None)
    assert cache.match(names("a")) == 1
    cache.check_integrity()


def test_pages_are_registered_in_order():
    cache = SmallCache()
    cache.grow(s0=12)
    cache.register(0, 0, names("a"))
    with pytest.raises(AssertionError, match="in order"):
        cache.register(0, 2, names("abc")[2:])


def test_a_released_slot_has_registered_nothing():
    cache = SmallCache()
    run_to_end(cache, 0, "ab")
    cache.grow(s0=8)
    with pytest.raises(AssertionError, match="in order"):
        cache.register(0, 1, names("xy")[1:])


def test_a_page_that_is_not_there_cannot_be_registered():
    cache = SmallCache()
    cache.grow(s0=4)
    with pytest.raises(AssertionError, match="not there"):
        cache.register(0, 0, names("ab"))


def test_the_pages_of_a_prefix_can_be_registered_again():
    cache = SmallCache()
    run_to_end(cache, 0, "ab")
    cache.attach(1, names("ab"))
    cache.grow(s1=12)
    cache.register(1, 0, names("abc"))
    assert cache.match(names("abc")) == 3
    cache.check_integrity()


# ---- eviction ----


def test_the_least_recent_sequence_is_evicted_first():
    cache = SmallCache()
    run_to_end(cache, 0, "abc")
    run_to_end(cache, 0, "xyz")
    assert cache.grow(s0=12)
    assert [cache.match(names(text)) for text in ("abc", "xyz")] == [2, 3]


def test_a_hit_makes_pages_recent():
    cache = SmallCache()
    run_to_end(cache, 0, "abc")
    run_to_end(cache, 0, "xyz")
    cache.attach(0, names("abc"))
    cache.release(0, None)
    assert cache.grow(s0=16)
    assert [cache.match(names(text)) for text in ("abc", "xyz")] == [3, 1]


def test_the_tail_of_a_chain_is_evicted_first():
    cache = SmallCache()
    run_to_end(cache, 0, "abcd")
    assert [cache.grow(s0=(4 + n) * PAGE) and cache.match(names("abcd")) for n in range(5)] == [
        4,
        3,
        2,
        1,
        0,
    ]


def test_a_page_in_use_is_never_evicted():
    cache = SmallCache(5)
    run_to_end(cache, 0, "ab")
    cache.attach(0, names("ab"))
    assert not cache.grow(s1=12)
    assert cache.grow(s1=8)
    assert cache.match(names("ab")) == 2
    cache.check_integrity()


def test_without_prefix_caching_nothing_outlives_its_owners():
    cache = SmallCache(enable_prefix_caching=False)
    cache.grow(s0=8)
    cache.register(0, 0, names("ab"))
    cache.attach(1, names("ab"))
    cache.release(0, None)
    assert cache.match(names("ab")) == 2
    cache.release(1, None)
    assert cache.match(names("ab")) == 0
    assert cache.num_free_pages() == (8,)
    cache.check_integrity()


# ---- fences ----


def test_pages_are_neither_free_nor_evictable_before_their_fence():
    cache = SmallCache(5)
    cache.grow(s0=16)
    cache.register(0, 0, names("ab"))
    cache.release(0, fence=7)
    cache.settle(6)
    assert cache.num_free_pages() == (0,) and not cache.grow(s1=1)
    cache.check_integrity()
    cache.settle(7)
    assert cache.num_free_pages() == (4,)
    assert cache.match(names("ab")) == 2
    cache.check_integrity()


def test_a_prefix_can_be_shared_while_it_waits_at_a_fence():
    cache = SmallCache(5)
    cache.grow(s0=8)
    cache.register(0, 0, names("ab"))
    cache.release(0, fence=7)
    cache.attach(1, names("ab"))
    cache.settle(7)
    assert cache.num_free_pages() == (2,)
    cache.check_integrity()


def test_waiting_helps_when_fenced_pages_would_suffice():
    cache = SmallCache(5)
    cache.grow(s0=8, s1=8)
    slots, num_tokens = np.array([1]), np.array([16])
    assert not cache.can_wait_for(slots, num_tokens)
    cache.release(0, fence=3)
    assert not cache.reserve(slots, num_tokens)
    assert cache.can_wait_for(slots, num_tokens)
    assert not cache.can_wait_for(slots, num_tokens + 1)
    cache.settle(3)
    assert cache.reserve(slots, num_tokens)


# ---- faults ----


def test_no_sequence_begins_with_a_page_that_is_forgotten():
    cache = SmallCache()
    run_to_end(cache, 0, "ab")
    cache.attach(1, names("ab"))
    cache.grow(s1=16)
    cache.register(1, 2, names("abc")[2:])
    cache.forget(1)
    assert cache.match(names("abc")) == 0
    cache.check_integrity()
    cache.release(1, None)
    assert cache.num_free_pages() == (8,)
    cache.check_integrity()


def test_who_shares_a_forgotten_page_keeps_it():
    cache = SmallCache()
    cache.grow(s0=4)
    cache.register(0, 0, names("a"))
    cache.attach(1, names("a"))
    cache.forget(0)
    cache.release(0, None)
    assert len(cache.pages(1)) == 1
    cache.check_integrity()


def test_clear_drops_what_is_cached():
    cache = SmallCache()
    run_to_end(cache, 0, "ab")
    cache.clear()
    assert cache.num_free_pages() == (8,) and cache.match(names("ab")) == 0
    cache.check_integrity()


def test_clear_is_for_when_no_page_waits_for_a_step():
    cache = SmallCache()
    cache.grow(s0=1)
    cache.release(0, fence=100)
    with pytest.raises(AssertionError, match="wait for a step"):
        cache.clear()


def test_clear_is_for_empty_slots():
    cache = SmallCache()
    cache.grow(s0=1)
    with pytest.raises(AssertionError, match="still holds pages"):
        cache.clear()


# ---- room ----


@pytest.mark.parametrize("num_tokens, has_room", [(32, True), (33, False), (0, True)])
def test_a_new_sequence_has_room_up_to_the_pages_nobody_holds(num_tokens, has_room):
    assert SmallCache().has_room_for([], 0, num_tokens) == has_room


def test_the_pages_of_a_hit_in_use_need_no_room():
    cache = SmallCache()
    cache.grow(s0=8)
    cache.register(0, 0, names("ab"))
    assert cache.has_room_for(names("ab"), 2, 32)
    assert not cache.has_room_for(names("ab"), 2, 33)
    assert not cache.has_room_for(names("ab"), 0, 25)


def test_the_cached_pages_of_a_hit_make_no_room_for_the_rest():
    cache = SmallCache(5)
    run_to_end(cache, 0, "abc")
    assert cache.has_room_for(names("abc"), 3, 16)
    assert not cache.has_room_for(names("abc"), 3, 17)


def test_what_others_were_promised_is_no_room():
    cache = SmallCache(5)
    assert cache.has_room_for([], 0, 12, num_promised=cache.num_pages_of(4))
    assert not cache.has_room_for([], 0, 12, num_promised=cache.num_pages_of(5))


# ---- the check ----


def point_at_a_page_of_another(cache):
    cache.groups[0].block_table[1, 0] = cache.groups[0].block_table[0, 0]


def point_past_the_end(cache):
    cache.groups[0].block_table[0, 3] = 5


def write_to_a_shared_page(cache):
    cache.register(0, 0, names("a"))
    cache.attach(2, names("a"))
    cache._num_sealed[2] = 0


def write_to_an_indexed_page(cache):
    cache.register(0, 0, names("a"))
    cache._num_sealed[0] = 0


@pytest.mark.parametrize(
    "damage, message",
    [
        (point_at_a_page_of_another, "references are not its entries"),
        (point_past_the_end, "does not hold"),
        (write_to_a_shared_page, "writable and shared"),
        (write_to_an_indexed_page, "writable page is indexed"),
    ],
)
def test_the_integrity_check_finds_a_table_that(damage, message):
    cache = SmallCache()
    cache.grow(s0=4, s1=4)
    damage(cache)
    with pytest.raises(AssertionError, match=message):
        cache.check_integrity()
