"""The machine code of routed experts by blocks that stay is their definition."""

import pytest
import torch
from experts_regions import CLAMPED, Experts
from region_kernels import relative_error
from triton_regions import TritonRegion

from tapeout.codegen.triton.choice import fields_of
from tapeout.codegen.triton.expert_problem import BLOCKS
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.targets import TARGETS

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("on_gpu")]

ANY = Steps("any", target=TARGETS["cuda:sm_90"])
CASES = {
    "a gate": {"h": 512, "i": 768, "e": 16, "k": 4},
    "ragged": {"h": 72, "i": 40},
    "biases": {"h": 320, "i": 192, "e": 8, "biases": True, "activation": CLAMPED},
    "no gate": {"h": 256, "i": 512, "activation": "max(a, 0.0)", "gated": False},
    "many choices": {"h": 128, "i": 64, "e": 200, "k": 16},
}


def error(region, arguments):
    symbols = {"T": len(arguments[0])}
    [found] = region.run(arguments, symbols)
    [wanted] = region.reference(arguments, symbols)
    return relative_error(found, wanted)


@pytest.mark.parametrize("case", CASES)
def test_experts_by_blocks_that_stay_are_those_of_the_interpreter(case):
    experts = Experts("bf16", **CASES[case])
    region = TritonRegion(experts.text, ANY, fields_of(BLOCKS))
    assert any(kernel.is_gluon for kernel in region.emitted.kernels)
    for tokens in (1, 65, 300, 1025, 2500):
        assert error(region, experts.arguments(tokens)) <= 8e-3, tokens


def test_an_expert_may_take_all_tokens():
    experts = Experts("bf16", **CASES["a gate"])
    region = TritonRegion(experts.text, ANY, fields_of(BLOCKS))
    for choices in ([[5, 0, 1, 2]], [[3, 3, 3, 3]]):
        assert error(region, experts.arguments(1500, choices * 1500)) <= 8e-3


def test_the_bits_of_a_token_are_those_among_others():
    experts = Experts("bf16", **CASES["a gate"])
    region = TritonRegion(experts.text, ANY, fields_of(BLOCKS))
    arguments = experts.arguments(1100)
    [whole] = region.run(arguments, {"T": 1100})
    part = [x[:200].contiguous() for x in arguments[:3]]
    [found] = region.run([*part, *arguments[3:]], {"T": 200})
    assert torch.equal(found, whole[:200])
