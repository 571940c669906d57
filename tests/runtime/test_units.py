import pytest

from tapeout.runtime.units import counted


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(1, "layer", "1 layer"), (0, "layer", "0 layers"), (2048, "launch", "2,048 launches")],
)
def test_what_is_counted_is_said_as_one_or_many(count, noun, said):
    assert counted(count, noun) == said
