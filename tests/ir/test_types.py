"""Dimensions are linear expressions; types print and evaluate."""

import pytest

from tapeout.ir.types import Dim, DType, TensorType


@pytest.mark.parametrize("text", ["0", "7", "T", "2*T", "2*T+1", "T-1", "R+3*S+5", "i"])
def test_dimension_round_trips_through_text(text):
    assert Dim.of(str(Dim.of(text))) == Dim.of(text)


def test_dimensions_add_multiply_and_evaluate():
    dim = (Dim.of("T") + 3) * 2 - Dim.of("T")
    assert dim == Dim.of("T+6")
    assert dim.evaluate({"T": 5}) == 11
    assert dim.to_json() == {"": 6, "T": 1}


def test_terms_that_cancel_are_gone():
    assert (Dim.of("T") - Dim.of("T")).is_const


def test_product_of_two_symbols_is_refused():
    with pytest.raises(AssertionError, match="not linear"):
        Dim.of("T") * Dim.of("S")


def test_type_prints_and_counts_bytes():
    type = TensorType.of("bf16", "T", 4, 8)
    assert str(type) == "bf16[T, 4, 8]"
    assert type.num_bytes() == Dim.of("64*T")
    assert type.with_dtype("f32").dtype is DType.F32
