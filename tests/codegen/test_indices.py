import itertools

import pytest

from tapeout.codegen.cpp.indices import Index, NotVector, Straddle, reshape_indices
from tapeout.ir.types import Dim


def dims(*sizes):
    return tuple(Dim.of(size) for size in sizes)


def evaluate(indices, **names):
    """C++ integer arithmetic on small positive numbers is Python's with // for /."""
    return tuple(eval(index.text.replace("/", "//"), {}, names) for index in indices)


def number(place, sizes):
    total = 0
    for index, size in zip(place, sizes, strict=True):
        total = total * size + index
    return total


@pytest.mark.parametrize(
    ("result", "operand"),
    [
        ((6, 4), (24,)),
        ((24,), (6, 4)),
        ((2, 3, 4), (6, 4)),
        ((4, 6), (3, 8)),
        ((1, 24), (2, 12, 1)),
    ],
)
def test_a_reshape_reads_the_element_of_the_same_number(result, operand):
    names = [f"i{axis}" for axis in range(len(result))]
    indices = [Index(name, 0, size) for name, size in zip(names, result, strict=True)]
    mapped = reshape_indices(indices, dims(*result), dims(*operand))
    for place in itertools.product(*map(range, result)):
        found = evaluate(mapped, **dict(zip(names, place, strict=True)))
        assert number(found, operand) == number(place, result)
        assert all(0 <= index < size for index, size in zip(found, operand, strict=True))


def test_heads_merge_into_consecutive_columns():
    indices = [Index("t"), Index("h", 0, 4), Index("c", 0, 64, vector=True)]
    row, column = reshape_indices(indices, dims("T", 4, 64), dims("T", 256))
    assert row.text == "t" and column.vector and evaluate([column], h=3, c=5) == (197,)


def test_columns_that_cross_a_head_ask_for_a_cut_there():
    indices = [Index("t"), Index("c", 0, 80, vector=True)]
    with pytest.raises(Straddle) as cut:
        reshape_indices(indices, dims("T", 80), dims("T", 2, 40))
    assert cut.value.column == 40


def test_columns_within_a_head_need_no_cut():
    indices = [Index("t"), Index("c", 40, 80, vector=True)]
    _, head, column = reshape_indices(indices, dims("T", 80), dims("T", 2, 40))
    assert head.text == "1" and evaluate([column], c=47) == (7,)


def test_columns_with_gaps_are_no_vector():
    with pytest.raises(NotVector):
        Index("c", 0, 16, vector=True).times(2)
