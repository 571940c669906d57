import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cache import Group

from tapeout.kvcache.budget import (
    Demand,
    cache_bytes,
    num_pages_for_tokens,
    num_tokens_in_budget,
    pages_of_window,
)

FULL, TWIN = Group("full", 3, 16, 1000), Group("twin", 5, 16, 1000)
SAME = (FULL, TWIN)
MIXED = (FULL, Group("latent", 2, 64, 700))
WINDOW = Group("window_512", 5, 16, 1000, 512)
HYBRID = (FULL, WINDOW)
DEMAND = Demand(max_num_seqs=4, max_model_len=2000, max_tokens_in_flight=512)
MOST = 2 * 4 * (512 // 16 + 2) + 512 // 16  # of the window, in flight and ended ones' included


def pages(groups, num_tokens):
    return num_pages_for_tokens(groups, num_tokens, DEMAND)


@pytest.mark.parametrize("groups", [SAME, MIXED, HYBRID])
@pytest.mark.parametrize("budget_bytes", [20_000, 99_999, 100_000, 123_457, 9_999_999])
def test_the_tokens_of_a_budget_fit_in_it_and_one_page_more_does_not(groups, budget_bytes):
    num_tokens = num_tokens_in_budget(groups, budget_bytes, DEMAND)
    fits = cache_bytes(groups, pages(groups, num_tokens))
    more = cache_bytes(groups, pages(groups, num_tokens + 64))
    assert fits <= budget_bytes < more


def test_the_null_page_is_counted():
    assert pages(SAME, 32) == [3, 3]
    assert cache_bytes(SAME, [3, 3]) == 3 * 8 * 1000


@pytest.mark.parametrize("groups", [SAME, HYBRID, (WINDOW,)])
def test_a_budget_below_the_null_pages_holds_no_token(groups):
    assert num_tokens_in_budget(groups, 4_999, DEMAND) < 0


def test_a_window_group_has_no_more_pages_than_windows_can_use():
    assert pages(HYBRID, 160) == [11, 11]
    assert pages(HYBRID, MOST * 16) == [MOST + 1, MOST + 1]
    assert pages(HYBRID, 100_000) == [6251, MOST + 1]


def test_what_a_window_saves_holds_more_tokens():
    budget_bytes = cache_bytes(SAME, pages(SAME, 10_000))
    num_tokens = num_tokens_in_budget(HYBRID, budget_bytes, DEMAND)
    assert num_tokens == 625 * 16 + (625 - MOST) * 5 // 3 * 16


@pytest.mark.parametrize("budget_bytes", [10**7, 10**12])
def test_tokens_that_cost_nothing_are_not_counted(budget_bytes):
    assert num_tokens_in_budget((WINDOW,), budget_bytes, DEMAND) == 4 * 2000


def test_a_budget_too_small_for_all_windows_counts_as_without_one():
    assert num_tokens_in_budget((WINDOW,), 11 * 5000, DEMAND) == 160


@given(st.integers(1, 70), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40))))
def test_the_other_half_suffices_for_all_sequences_that_run(window, sequences):
    """Of (tokens reported, tokens in flight) each."""
    in_flight = sum(count for _, count in sequences)
    group = WINDOW._replace(window=window)
    demand = Demand(len(sequences), 2000, in_flight)
    held = sum(
        (start + count - 1) // 16 - max(start - window + 1, 0) // 16 + 1
        for start, count in sequences
        if start + count > 0
    )
    (most,) = num_pages_for_tokens([group], 1 << 40, demand)
    for_ended = len(sequences) * (-(-window // 16) + 2)
    assert held <= most - 1 - for_ended


@pytest.mark.parametrize("window", [1, 2, 15, 16, 17, 100])
@pytest.mark.parametrize("chunk", [1, 2, 16, 33])
def test_no_chunk_of_a_sequence_holds_more_pages_than_a_window_is_given(window, chunk):
    most = max(
        (start + chunk - 1) // 16 - max(start - window + 1, 0) // 16 + 1 for start in range(300)
    )
    assert most <= pages_of_window(window, 16, chunk)
