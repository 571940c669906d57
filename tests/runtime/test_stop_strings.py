import random
import string
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from tapeout.runtime.stop_strings import StopFinder

TEXT = st.text("ab", max_size=30)
STOPS = st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=6)


def first_end(text, stop, past=0):
    """Where the first stop string ends that ends behind `past`, and which it is."""
    for end in range(past + 1, len(text) + 1):
        for candidate in stop:
            if text[:end].endswith(candidate):
                return end, candidate
    return None


def longest_start(text, stop):
    """Characters at the end of the text that a stop string goes on from."""
    starts = {s[:n] for s in stop for n in range(len(s))}
    return max(len(start) for start in starts if text.endswith(start))


@given(TEXT, STOPS, st.lists(st.integers(0, 30), max_size=5))
def test_the_first_stop_string_to_end_is_found_however_the_text_is_cut(text, stop, cuts):
    finder, found, begin = StopFinder(stop), None, 0
    for end in sorted({min(cut, len(text)) for cut in cuts} | {len(text)}):
        found = finder.feed(text[begin:end])
        if found is not None:
            found = begin + found[0], found[1]
            break
        assert finder.num_open == longest_start(text[:end], stop)
        begin = end
    assert found == first_end(text, stop)


@given(TEXT, TEXT, STOPS)
def test_what_ends_where_none_may_is_passed_over(first, second, stop):
    finder = StopFinder(stop)
    assert finder.feed(first, counts=False) is None
    assert finder.num_open == longest_start(first, stop)
    found = finder.feed(second)
    wanted = first_end(first + second, stop, past=len(first))
    assert (found and (len(first) + found[0], found[1])) == wanted


def test_of_two_that_end_together_the_first_in_the_list_is_named():
    assert StopFinder(["ab", "b"]).feed("xab") == (3, "ab")
    assert StopFinder(["b", "ab"]).feed("xab") == (3, "b")


def test_the_most_that_may_be_given_costs_little():
    stop = ["a" * n + "b" for n in range(1, 181)]
    finder = StopFinder(stop)
    assert finder.feed("a" * 100_000) is None
    assert finder.num_open == 180
    assert finder.feed("b") == (1, "ab")


def test_the_completions_of_a_request_share_what_its_stop_strings_need():
    stop = ["".join(random.choices(string.ascii_lowercase, k=64)) for _ in range(256)]
    first = StopFinder(stop)
    tracemalloc.start()
    finders = [StopFinder(list(stop)) for _ in range(1023)]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 20
    finders[0].feed(stop[7][:-1])
    assert finders[1].feed(stop[7][-1]) is None and first.num_open == 0
    assert finders[0].feed(stop[7][-1]) == (1, stop[7])
