from typing import NamedTuple

import pytest

from tapeout.kvcache.budget import cache_bytes, num_pages_for_tokens, num_tokens_in_budget


class Group(NamedTuple):
    name: str
    layers: int
    page_size_tokens: int
    page_bytes_per_layer: int


SAME = (Group("full", 3, 16, 1000), Group("sliding", 5, 16, 1000))
MIXED = (Group("full", 3, 16, 1000), Group("latent", 2, 64, 700))


@pytest.mark.parametrize("groups", [SAME, MIXED])
@pytest.mark.parametrize("budget_bytes", [20_000, 99_999, 100_000, 123_457])
def test_the_tokens_of_a_budget_fit_in_it_and_one_page_more_does_not(groups, budget_bytes):
    num_tokens = num_tokens_in_budget(groups, budget_bytes)
    fits = cache_bytes(groups, num_pages_for_tokens(groups, num_tokens))
    more = cache_bytes(groups, num_pages_for_tokens(groups, num_tokens + 64))
    assert fits <= budget_bytes < more


def test_the_null_page_is_counted():
    assert num_pages_for_tokens(SAME, 32) == [3, 3]
    assert cache_bytes(SAME, [3, 3]) == 3 * 8 * 1000


def test_a_budget_below_the_null_pages_holds_no_token():
    assert num_tokens_in_budget(SAME, 7_999) < 0
