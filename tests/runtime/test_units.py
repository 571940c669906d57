import pytest

from tapeout.runtime.units import counted, readable_bytes


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 20, "5 MiB"), (3000 << 30, "3000 GiB")],
)
def test_bytes_are_told_in_the_unit_that_fits(num_bytes, text):
    assert readable_bytes(num_bytes) == text


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(1, "layer", "1 layer"), (0, "layer", "0 layers"), (2048, "launch", "2,048 launches")],
)
def test_what_is_counted_is_said_as_one_or_many(count, noun, said):
    assert counted(count, noun) == said
