"""How far each result of a region may be off."""

import torch

from tapeout.ir.parser import parse_module
from tapeout.verification.results import compare

REGION = """
module level=region

entry @step(%x: bf16[T, 8], %w: bf16[64, 8], %h: bf16[T, 64]) {
  %y: bf16[T, 64], %s: f32[T, 1] = region(%x, %w, %h) {function = "linear_add_squares"}
  return %y, %s
}

func @linear_add_squares
  (%x: bf16[T, 8], %w: bf16[64, 8], %h: bf16[T, 64]) {anchor = "linear"} {
  %linear: bf16[T, 64] = linear(%x, %w)
  %add: bf16[T, 64] = add(%h, %linear)
  %squares: f32[T, 1] = sum_squares(%add) {width = 64}
  return %add, %squares
}
"""


def test_squares_of_rounded_rows_may_be_as_far_off_as_the_rows():
    region = parse_module(REGION).functions["linear_add_squares"]
    rows = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    other = rows.clone()
    other[0, 0] *= 1 + 2.0**-7  # the next number
    three = [(r, r.float().pow(2).sum(-1, keepdim=True)) for r in (other, rows, rows.float())]
    errors = dict(compare(region, [torch.zeros(1)] * 3, *three))
    assert errors["squares"].error > 1e-5
    assert errors["add"].passed and errors["squares"].passed
