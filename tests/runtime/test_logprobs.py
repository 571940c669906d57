import numpy as np

from tapeout import Logprob
from tapeout.runtime.frame import Logprobs
from tapeout.runtime.logprobs import logprobs_of_row

ROWS = Logprobs(
    chosen=np.array([-0.5, -3.0], np.float32),
    ranks=np.array([1, 4], np.int32),
    top_token_ids=np.array([[5, 8, 2], [5, 8, -1]], np.int32),
    top=np.array([[-0.5, -1.0, -2.0], [-0.25, -1.5, np.nan]], np.float32),
)


def entries(row, token_id, count):
    return logprobs_of_row(ROWS, row, token_id, count, lambda token_id: f"<{token_id}>")


def test_the_chosen_token_comes_first_and_once():
    assert list(entries(0, 5, 2)) == [5, 8]
    assert entries(0, 5, 2)[8] == Logprob(-1.0, 2, "<8>")


def test_a_chosen_token_that_is_not_among_the_most_probable_comes_beside_them():
    assert entries(1, 3, 2) == {
        3: Logprob(-3.0, 4, "<3>"),
        5: Logprob(-0.25, 1, "<5>"),
        8: Logprob(-1.5, 2, "<8>"),
    }


def test_no_most_probable_tokens_leave_the_chosen_one():
    assert entries(1, 3, 0) == {3: Logprob(-3.0, 4, "<3>")}


def test_a_small_vocabulary_gives_fewer():
    assert list(entries(1, 3, 3)) == [3, 5, 8]
