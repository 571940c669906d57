import pytest

from tapeout.inspection.text import sizes_text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1 rows"], "1 row"),
        (["rows4", "rows8", "any"], "4, 8 and any rows"),
        (["1 sequences", "16 sequences"], "1 and 16 sequences"),
        (["any rows"], "any rows"),
        (["64 sequences", "64 rows", "128 rows"], "64 sequences and 64 and 128 rows"),
    ],
)
def test_sizes_of_steps_are_said_in_words(names, said):
    assert sizes_text(names) == said
