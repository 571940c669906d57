"""The machine code of attention is its definition, in every form, over ragged steps."""

import pytest
import torch
from triton_attention import PREFILLS, TOLERANCE, Joined, attention_of

from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.targets import TARGETS

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("on_gpu")]

HOPPER = TARGETS["cuda:sm_90"]
ANY, LONG = Steps("any"), Steps("any", target=HOPPER)
SHORT = Steps("rows1024", 1024, target=HOPPER)


@pytest.mark.parametrize(
    ("case", "steps"),
    [
        *((case, ANY) for case in PREFILLS),
        *((case, LONG) for case in PREFILLS),
        *((case, SHORT) for case in PREFILLS),
    ],
    ids=[
        *PREFILLS,
        *(f"{case}, {length} step" for length in ("long", "short") for case in PREFILLS),
    ],
)
def test_prefill_is_that_of_the_interpreter(case, steps):
    of_case = attention_of(steps, case)
    assert of_case.attend.emitted.kernels[0].is_gluon == (steps is not ANY)
    for contexts, counts in (
        ([0], [5]),
        ([0, 37, 100], [131, 70, 1]),
        ([300, 0, 0, 700, 127, 128], [77, 513, 16, 190, 1, 1]),
    ):
        assert of_case.error(contexts, counts) <= TOLERANCE["bf16"], counts


def test_places_that_nobody_wrote_count_for_nothing_however_warpgroups_run():
    """A block that is a sequence's first and last has such places on both sides of its own."""
    of_case = attention_of(LONG, "24 wide, window of a few")
    contexts, counts = [7 * i % 59 for i in range(60)], [1 + 5 * i % 31 for i in range(60)]
    for _ in range(20):
        assert of_case.error(contexts, counts) <= TOLERANCE["bf16"]


@pytest.mark.parametrize(
    "case",
    [*({"dim": dim} for dim in (64, 96, 128, 256)), {"dim": 256, "window": 200, "softcap": 2.0}],
    ids=str,
)
@pytest.mark.parametrize("steps", [ANY, LONG, SHORT], ids=["portable", "long", "short"])
def test_prefill_that_makes_its_queries_is_that_of_the_interpreter(steps, case):
    joined = Joined(steps, "bf16", h=8, **case)
    assert joined.region.emitted.kernels[1].is_gluon == (steps is not ANY)
    for contexts in ([0, 3, 70], [300, 700, 127, 128]):
        assert max(joined.errors(contexts)) <= TOLERANCE["bf16"]


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("case", PREFILLS)
def test_decoding_is_that_of_the_interpreter(case, rows):
    of_case = attention_of(Steps("decode", rows, one_token_each=True), case)
    for contexts in ([0], [2047], [0, 130, 1023, 555, 15, 127, 128]):
        contexts = contexts[-rows:]
        assert of_case.error(contexts, [1] * len(contexts)) <= TOLERANCE["bf16"], contexts


@pytest.mark.parametrize("rows", [1, 16, 32, 64, 256])
@pytest.mark.parametrize(
    "case", [{"dim": 64}, {"dim": 128}, {"window": 200, "softcap": 2.0}], ids=str
)
def test_decoding_that_writes_the_cache_is_that_of_the_interpreter(case, rows):
    joined = Joined(Steps("decode", rows, one_token_each=True), "bf16", h=8, **case)
    for contexts in ([0], [1], [2047], [0, 130, 1023, 555, 15, 127, 128]):
        errors = list(joined.errors(contexts))  # of one row alone each key's rounding counts
        assert max(errors) <= 3 * TOLERANCE["bf16"], (contexts, errors)


@pytest.mark.parametrize("steps", [ANY, LONG, SHORT], ids=["portable", "long", "short"])
@pytest.mark.parametrize("case", ["64 wide", "window"])
def test_a_token_of_a_prefill_is_bitwise_equal_whatever_is_beside_it(case, steps):
    of_case = attention_of(steps, case)
    whole, _ = of_case.run([200], [377])
    for count in (1, 30, 128):
        part, _ = of_case.run([577 - count], [count])
        assert torch.equal(whole[-count:], part), count


def test_a_token_is_bitwise_equal_in_long_and_in_short_steps():
    (long, _), (short, _) = (attention_of(s, "64 wide").run([200], [377]) for s in (LONG, SHORT))
    assert torch.equal(long, short)
