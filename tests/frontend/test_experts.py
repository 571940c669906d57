from types import SimpleNamespace

import pytest
import torch

from tapeout.errors import UnsupportedModelError
from tapeout.frontend.captured import activation_expression
from tapeout.frontend.experts import describe_experts
from tapeout.ir.ops.elementwise import evaluate


def experts(gate, **fields):
    return SimpleNamespace(
        _apply_gate=gate, has_gate=True, has_post_expert_norm=False, is_concatenated=True, **fields
    )


def test_a_plain_gate_is_found():
    found = describe_experts(experts(lambda x: torch.relu(x[:, :16]) * x[:, 16:]))
    assert (found.activation, found.interleaved) == ("relu", False)


def test_an_interleaved_gate_is_found_whatever_the_flag_says():
    silu = torch.nn.functional.silu
    assert describe_experts(experts(lambda x: silu(x[:, ::2]) * x[:, 1::2])).interleaved


def test_the_constants_of_a_clamped_gate_come_from_the_module():
    def gate(x):
        a, b = x[:, ::2].clamp(max=5.0), x[:, 1::2].clamp(-5.0, 5.0)
        return (b + 1) * a * torch.sigmoid(1.3 * a)

    found = describe_experts(experts(gate, alpha=1.3, limit=5.0, num_experts=8))
    assert (found.activation, found.alpha, found.limit) == ("swiglu_clamped", 1.3, 5.0)


@pytest.mark.parametrize(
    "module",
    [
        experts(lambda x: torch.sin(x[:, :16]) * x[:, 16:]),
        SimpleNamespace(has_gate=False),
        SimpleNamespace(has_gate=True, has_post_expert_norm=True),
    ],
)
def test_other_experts_are_refused(module):
    with pytest.raises(UnsupportedModelError, match="SimpleNamespace"):
        describe_experts(module)


def test_the_clamped_gate_is_an_expression_over_gate_and_up():
    a, b = 9 * torch.randn(2, 50)
    found = evaluate(activation_expression("swiglu_clamped", 1.702, 7.0), [a, b])
    gate = a.clamp(max=7)
    wanted = (b.clamp(-7, 7) + 1) * gate * torch.sigmoid(1.702 * gate)
    torch.testing.assert_close(found, wanted)
