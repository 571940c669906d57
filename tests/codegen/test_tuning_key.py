import pytest

from tapeout.codegen.tuning_key import key_of
from tapeout.ir.parser import parse_function

GATED = """
func @{name}(%{x}: bf16[T, 64], %w: bf16[48, 64], %v: bf16[48, 64]) {{anchor = "linear"}} {{
  %g: bf16[T, 48] = linear(%{x}, %w)
  %s: bf16[T, 48] = silu(%g)
  %u: bf16[T, 48] = linear(%{x}, %v)
  %y: bf16[T, 48] = mul(%s, %u)
  return %y
}}
"""
ATTENTION = """
func @attend(%x: f32[T, 8], %cache: state[], %positions: i32[T], %sequence_ids: i32[T],
             %table: i32[S, P]) {anchor = "attention"} {
  %q: f32[T, 2, 4] = reshape(%x) {shape = [<T>, 2, 4]}
  %y: f32[T, 2, 4] = paged_attention(%q, %cache, %positions, %sequence_ids, %table)
    {group = "full", layer = <i>, num_key_heads = 1, scale = 1.0, value_dim = 4, window = 32}
  return %y
}
"""


def test_equal_work_has_one_key_whatever_it_is_called():
    one = key_of(parse_function(GATED.format(name="mlp", x="x")), "rows1", True)
    other = key_of(parse_function(GATED.format(name="mlp_7", x="hidden")), "rows1", True)
    assert one == other
    assert one.kernel == "linear silu linear mul" and one.shape == (48, 64) and one.dtype == "bf16"


def test_attention_is_known_by_its_heads_widths_and_window():
    key = key_of(parse_function(ATTENTION), "any", False)
    assert (key.kernel, key.shape, key.dtype) == ("paged_attention", (2, 1, 4, 4, 32), "f32")


@pytest.mark.parametrize("change", ["rows8", False])
def test_steps_and_batch_invariance_are_part_of_a_key(change):
    function = parse_function(GATED.format(name="mlp", x="x"))
    steps, is_invariant = ("rows1", change) if change is False else (change, True)
    assert key_of(function, steps, is_invariant) != key_of(function, "rows1", True)
