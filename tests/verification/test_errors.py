import torch

from tapeout.verification.errors import UNITS, error_of, other_rows

EXACT = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
ROUNDED = EXACT.bfloat16()


def test_what_rounds_as_the_type_does_passes():
    error = error_of(ROUNDED, ROUNDED, EXACT)
    assert error.passed and 1e-3 < error.error == error.rounding


def test_one_wrong_row_of_many_fails():
    found = ROUNDED.clone()
    found[17] *= 1.02
    assert not error_of(found, ROUNDED, EXACT).passed


def test_one_wrong_element_of_a_row_fails():
    found = ROUNDED.clone()
    found[3, 5] += 0.1
    assert not error_of(found, ROUNDED, EXACT).passed


def test_what_is_no_number_fails_and_equal_infinities_pass():
    found = EXACT.clone()
    found[0, 0] = torch.nan
    assert not error_of(found, EXACT, EXACT).passed
    masked = EXACT.clone()
    masked[0, :4] = -torch.inf
    assert error_of(masked, masked, masked).error == 0


def test_a_vector_is_one_row():
    exact = torch.tensor([1000.0, 1e-6])
    assert error_of(torch.tensor([1000.0, 2e-6]), exact, exact).passed


def test_sums_of_what_was_rounded_are_held_to_its_type():
    found, exact = torch.tensor([[1.001]]), torch.tensor([[1.0]])
    assert not error_of(found, exact, exact).passed
    assert error_of(found, exact, exact, UNITS[torch.bfloat16]).passed


def test_small_differences_are_held_to_the_size_of_what_they_are_of():
    found, exact = torch.tensor([-1e-3]), torch.tensor([-1.001e-3])  # of a probability near one
    assert not error_of(found, exact, exact).passed
    assert error_of(found, exact, exact, size=1.0).passed
    assert not error_of(found, exact + 1e-3, exact + 1e-3, size=1.0).passed


def test_rows_of_whole_numbers_are_equal_or_not():
    found, wanted = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 5]])
    assert other_rows(found, wanted).tolist() == [False, True]
    assert other_rows(torch.tensor([1, 2]), torch.tensor([1, 3])).tolist() == [False, True]
