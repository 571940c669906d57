import pytest
from small_cache import names

from tapeout.kvcache.page_index import PageIndex

ABCD = names("abcd")


def index_of(*numbers):
    """The pages 10, 11, ... of the chain a, b, c, d; only those of these numbers."""
    index = PageIndex()
    for number in numbers:
        index.add([10 + number], [ABCD[number]])
    return index


def test_a_page_is_found_by_its_hash():
    index = index_of(0, 1)
    assert index.pages(ABCD[:2]) == [10, 11]
    assert 10 in index and 12 not in index
    assert len(index) == 2


def test_a_hash_that_has_a_page_keeps_it():
    index = index_of(0)
    index.add([99], [ABCD[0]])
    assert index.pages(ABCD[:1]) == [10]
    assert 99 not in index


def test_a_page_can_be_registered_again_for_the_same_tokens_alone():
    index = index_of(0)
    index.add([10], [ABCD[0]])
    with pytest.raises(AssertionError, match="registered for other tokens"):
        index.add([10], [ABCD[1]])


def test_a_page_without_a_name_may_be_discarded():
    index = index_of(0)
    index.discard(10)
    index.discard(10)
    assert len(index) == 0 and 10 not in index


def test_clear_takes_all_names_away():
    index = index_of(0, 1, 2)
    index.clear()
    assert len(index) == 0
    index.check_integrity()


@pytest.mark.parametrize("there, run", [((), 0), ((0,), 1), ((1, 2), 0), ((0, 1, 3), 2)])
def test_the_run_from_the_start_ends_at_the_first_missing(there, run):
    assert index_of(*there).run_from_start(ABCD, 4) == run


def test_the_run_from_the_start_ends_where_it_is_told():
    assert index_of(0, 1, 2, 3).run_from_start(ABCD, 3) == 3


@pytest.mark.parametrize(
    "there, start, end, missing",
    [((2, 3), 2, 4, None), ((2, 3), 1, 4, 1), ((0, 3), 0, 4, 2), ((), 2, 2, None)],
)
def test_the_last_missing_hash_of_a_stretch(there, start, end, missing):
    assert index_of(*there).last_missing(ABCD, start, end) == missing


def test_a_hash_that_points_elsewhere_is_found():
    index = index_of(0, 1)
    index._page_of[ABCD[0]] = 11
    with pytest.raises(AssertionError, match="does not map back"):
        index.check_integrity()
