"""Op records are complete and their references are what torch computes."""

import numpy as np
import pytest
import torch

from tapeout.ir.ops import record_of, registry
from tapeout.ir.ops.elementwise import FUNCTIONS, operand_names
from tapeout.ir.ops.random import OF_SPANS, gumbel, philox

TORCH = {
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "rsqrt": lambda x: torch.rsqrt(x),
}


@pytest.mark.parametrize("name", sorted(registry()))
def test_record_is_complete(name):
    record = record_of(name)
    assert record.doc.strip() and record.infer and record.reference and record.flops
    if record.scalar:
        assert operand_names(record.scalar) == record.operands


@pytest.mark.parametrize("name", sorted(TORCH))
def test_scalar_expression_agrees_with_torch(name):
    x = torch.rand(100) * 4 + (0.01 if name == "rsqrt" else -2)
    (found,) = record_of(name).reference([x], {})
    torch.testing.assert_close(found, TORCH[name](x))


def test_elementwise_rounds_once_from_f32():
    a, b = torch.randn(64).bfloat16(), torch.randn(64).bfloat16()
    (found,) = record_of("mul").reference([a, b], {})
    assert found.dtype is torch.bfloat16
    assert torch.equal(found, (a.float() * b.float()).bfloat16())


def test_every_function_of_the_expressions_exists():
    for name, record in registry().items():
        if record.scalar:
            compile(record.scalar, name, "eval")
    assert FUNCTIONS


def test_topk_ties_go_to_the_lowest_place():
    x = torch.tensor([[1.0, 3.0, 3.0, 2.0]])
    _, places = record_of("topk").reference([x], {"k": 3})
    assert places.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("style", ["half", "interleaved"])
def test_rope_keeps_lengths_and_passes_the_rest(style):
    x, angle = torch.randn(3, 2, 10), torch.rand(3, 4)
    attrs = {"style": style}
    (found,) = record_of("rope").reference([x, angle.cos(), angle.sin()], attrs)
    torch.testing.assert_close(found[..., :8].norm(dim=-1), x[..., :8].norm(dim=-1))
    assert torch.equal(found[..., 8:], x[..., 8:])


def test_philox_gives_the_published_vectors():
    # Known answers of Philox4x32-10 from the authors' Random123 distribution.
    zeros = philox(np.zeros((1, 4), np.uint64), (0, 0))[0]
    assert [hex(int(w)) for w in zeros] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def test_noise_depends_on_seed_and_position_alone():
    assert torch.equal(gumbel(1, 2, 10), gumbel(1, 2, 30)[:10])
    assert not torch.equal(gumbel(1, 2, 10), gumbel(1, 3, 10))
    assert not torch.equal(gumbel(1, 2, 10), gumbel(2, 2, 10))


def test_places_and_spans_have_streams_of_their_own():
    assert not (gumbel(1, 2, 10) == gumbel(1, 2, 10, OF_SPANS)).any()
    assert torch.equal(gumbel(1, 2, 10, OF_SPANS), gumbel(1, 2, 30, OF_SPANS)[:10])
