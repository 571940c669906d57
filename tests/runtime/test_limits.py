import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeout.errors import InputError
from tapeout.runtime.limits import Limits, default_of

COUNTS = st.none() | st.integers(1, 20_000)


def sizes(on_device, **limits):
    return [(size.num_seqs, size.num_tokens) for size in Limits(**limits).step_sizes(on_device)]


def test_by_default_a_gpu_has_long_steps_of_many_sequences_and_a_cpu_short_ones():
    assert sizes(on_device=True)[0] == (256, 8192)
    assert sizes(on_device=False) == [(64, 1024)]


def test_the_default_of_a_gpu_yields_as_far_as_that_of_a_cpu():
    found = sizes(on_device=True)
    assert found == sorted(found, reverse=True)
    assert found[-1] == sizes(on_device=False)[0]


@pytest.mark.parametrize("on_device", [True, False])
@given(COUNTS, COUNTS, COUNTS)
def test_what_is_given_is_never_changed_and_what_is_not_goes_with_it(
    on_device, num_seqs, num_tokens, num_rows
):
    given = {"max_num_seqs": num_seqs, "max_num_batched_tokens": num_tokens}
    try:
        limits = Limits(**given, max_logit_rows=num_rows)
    except InputError:
        assert num_seqs and num_seqs > min(num_tokens or num_seqs, num_rows or num_seqs)
        return
    for size in limits.step_sizes(on_device):
        assert num_seqs in (None, size.num_seqs)
        assert num_tokens in (None, size.num_tokens)
        assert num_rows in (None, size.num_rows)
        assert size.num_seqs <= min(size.num_tokens, size.num_rows)


@pytest.mark.parametrize("on_device", [True, False])
def test_many_sequences_raise_the_default_of_tokens(on_device):
    assert sizes(on_device, max_num_seqs=16384)[0] == (16384, 16384)


@pytest.mark.parametrize("on_device", [True, False])
def test_few_tokens_lower_the_default_of_sequences(on_device):
    assert sizes(on_device, max_num_batched_tokens=40)[0] == (40, 40)


def test_a_help_text_tells_both_defaults():
    assert default_of("max_num_batched_tokens").startswith("8192 on a GPU, less")
    assert default_of("max_num_seqs").endswith(", 64 on a CPU")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_num_seqs": "8"}, "max_num_seqs='8' is not allowed; give a whole number from 1 to"),
        ({"max_model_len": 1}, "max_model_len=1 is not allowed; give a whole number from 2 to"),
        ({"gpu_memory_utilization": "0.5"}, "gpu_memory_utilization='0.5' is not allowed"),
        ({"gpu_memory_utilization": True}, "gpu_memory_utilization=True is not allowed"),
        ({"max_logit_rows": False}, "max_logit_rows=False is not allowed"),
    ],
)
def test_what_is_no_number_or_none_that_can_be_used_is_shown_as_it_is(limits, told):
    with pytest.raises(InputError) as raised:
        Limits(**limits)
    assert str(raised.value).startswith(told)
