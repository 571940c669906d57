import pytest
import torch
from region_kernels import Region, relative_error

from tapeout.codegen.packing import pack_rows16

NUM_EXPERTS, INNER, HIDDEN, CHOICES = 6, 24, 40, 2
CLAMPED = "(min(max(b, -7.0), 7.0) + 1.0) * (min(a, 7.0) / (1.0 + exp(-1.702 * min(a, 7.0))))"
TEXT = """
func @mix(%x: {d}[T, 40], %indices: i32[T, 2], %weights: {d}[T, 2], %up: {d}[6, 48, 40],
          %down: {d}[6, 40, 24], %up_bias: {d}[6, 48], %down_bias: {d}[6, 40])
    {{anchor = "experts"}} {{
  %y: {d}[T, 40] = experts(%x, %indices, %weights, %up, %down, %up_bias, %down_bias)
    {{activation = "{activation}"}}
  return %y
}}"""
DTYPES = {"f32": (torch.float32, 2e-6), "bf16": (torch.bfloat16, 6e-3)}


def arguments(dtype, tokens):
    torch.manual_seed(tokens)
    indices = torch.stack([torch.randperm(NUM_EXPERTS)[:CHOICES] for _ in range(tokens)]).int()
    up, down = (NUM_EXPERTS, 2 * INNER, HIDDEN), (NUM_EXPERTS, HIDDEN, INNER)
    shapes = [up, down, up[:2], down[:2]]
    floats = [torch.randn(*shape) / 5 for shape in shapes]
    x, weights = torch.randn(tokens, HIDDEN), torch.rand(tokens, CHOICES)
    return [x.to(dtype), indices, weights.to(dtype), *(f.to(dtype) for f in floats)]


def packed(operands):
    *head, up, down, up_bias, down_bias = operands
    return [
        *head,
        pack_rows16(up.reshape(NUM_EXPERTS, 2, INNER, HIDDEN)),
        pack_rows16(down),
        up_bias,
        down_bias,
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_experts_are_those_of_the_interpreter(level, dtype):
    torch_dtype, tolerance = DTYPES[dtype]
    region = Region(TEXT.format(d=dtype, activation=CLAMPED), level)
    for tokens in (1, 3, 50):
        operands = arguments(torch_dtype, tokens)
        [found] = region.run(packed(operands), {"T": tokens}, num_threads=2)
        [wanted] = region.reference(operands, {"T": tokens})
        assert relative_error(found, wanted) <= tolerance


def test_a_token_is_bitwise_equal_alone_and_among_others(level):
    region = Region(TEXT.format(d="f32", activation=CLAMPED), level)
    operands = packed(arguments(torch.float32, 300))
    [whole] = region.run(operands, {"T": 300}, num_threads=2)
    for tokens in (1, 7, 120):
        [part] = region.run(operands, {"T": tokens})
        assert torch.equal(part, whole[:tokens])
