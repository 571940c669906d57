import numpy as np
import pytest
import torch

from tapeout.ir.types import DType
from tapeout.tuning.gpu_outputs import difference, is_finite

ROWS, COLUMNS = 40, 2048


def bytes_of(tensor, dtype=torch.bfloat16):
    return tensor.to(dtype).contiguous().view(torch.uint8).numpy()


@pytest.fixture
def result():
    torch.manual_seed(0)
    return torch.randn(ROWS, COLUMNS)


def test_another_rounding_is_no_difference_unless_bits_must_be_equal(result):
    found, wanted = bytes_of(result * (1 + 1e-3)), bytes_of(result)
    assert difference(found, wanted, DType.BF16, is_exact=False) is None
    assert difference(wanted, wanted, DType.BF16, is_exact=True) is None
    said = difference(found, wanted, DType.BF16, is_exact=True)
    assert said is not None and said.endswith(f"of {2 * ROWS * COLUMNS} bytes differ")


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_row_that_was_not_written_is_named(result, value):
    wrong = result.clone()
    wrong[7] = value
    said = difference(bytes_of(wrong), bytes_of(result), DType.BF16, is_exact=False)
    assert said is not None and said.startswith("row 7 of 40 is off")


def test_a_single_wrong_number_is_named(result):
    wrong = result.clone()
    wrong[3, 9] = result[3, 9] + 0.3
    said = difference(bytes_of(wrong), bytes_of(result), DType.BF16, is_exact=False)
    assert said is not None and said.startswith("number 9 of row 3 is")


def test_products_of_a_part_of_k_too_few_are_wrong():
    torch.manual_seed(0)
    x, w = torch.randn(16, 4096), torch.randn(512, 4096) / 64
    found, wanted = x[:, :-64] @ w[:, :-64].T, x @ w.T
    for kind, dtype in ((DType.BF16, torch.bfloat16), (DType.F32, torch.float32)):
        said = difference(bytes_of(found, dtype), bytes_of(wanted, dtype), kind, is_exact=False)
        assert said is not None and "is off by" in said


def test_numbers_that_are_no_floats_must_be_equal():
    found, wanted = (np.array([[1, place]], np.int32).view(np.uint8) for place in (2, 3))
    assert difference(found, wanted, DType.I32, is_exact=False) == "1 of 8 bytes differ"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_seen(result, value):
    assert is_finite(bytes_of(result), DType.BF16)
    result[7, 3] = value
    assert not is_finite(bytes_of(result), DType.BF16)
    assert is_finite(bytes_of(result), DType.I32)
