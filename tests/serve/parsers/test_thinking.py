import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeout.serve.parsers.base import Content, Reasoning
from tapeout.serve.parsers.thinking import ThinkingParser


def split(*chunks, is_open=False):
    """The thoughts and the answer."""
    parser = ThinkingParser(is_open)
    pieces = [piece for chunk in chunks for piece in parser.feed(chunk)] + parser.finish()
    thoughts = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
    return thoughts, "".join(piece.text for piece in pieces if isinstance(piece, Content))


@pytest.mark.parametrize(
    ("text", "is_open", "wanted"),
    [
        ("<think>\nSo.\n</think>\n\nYes.", False, ("So.", "Yes.")),
        ("So.\n</think>\n\nYes.", True, ("So.", "Yes.")),
        ("\n<think>a <b> c</think>d", False, ("a <b> c", "d")),
        ("<think></think>Yes.", False, ("", "Yes.")),
        ("Yes.", False, ("", "Yes.")),
        ("  Yes.", False, ("", "  Yes.")),
        ("Not <think>here</think>", False, ("", "Not <think>here</think>")),
        ("<think>never closed", False, ("never closed", "")),
        ("<thin", False, ("", "<thin")),
        ("half </thin", True, ("half </thin", "")),
        ("", True, ("", "")),
        ("a</think>b</think>c", True, ("a", "b</think>c")),
    ],
)
def test_thoughts_are_told_from_the_answer(text, is_open, wanted):
    assert split(text, is_open=is_open) == wanted
    assert split(*text, is_open=is_open) == wanted


TEXTS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</thi", " ", "\n", "word", "é"]), max_size=9
)


@given(text=TEXTS.map("".join), is_open=st.booleans(), seed=st.integers(0, 2**32))
def test_any_chunking_gives_the_same_texts(text, is_open, seed):
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(9)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(*chunks, is_open=is_open) == split(text, is_open=is_open)


def test_thoughts_are_told_as_they_come():
    parser = ThinkingParser(False)
    told = [parser.feed(chunk) for chunk in ("<think>", "a", "b", " ", "c</", "think>", " d")]
    assert told == [
        [],
        [Reasoning("a")],
        [Reasoning("b")],
        [],
        [Reasoning(" c")],
        [],
        [Content("d")],
    ]
