import pytest
import torch

from tapeout.ir.interpret import Interpreter
from tapeout.ir.parser import parse_module
from tapeout.ir.verify import verify
from tapeout.passes.drop_batch_axis import drop_batch_axis
from tapeout.passes.join_norms import join_norms

SPLIT = """
module level=model
entry @step(%x: bf16[2, T, 4], %v: bf16[4], %w: bf16[4], %p: bf16[4], %q: bf16[4]) {
  %a: bf16[1, T, 4] = slice(%x) {axis = 0, start = 0, stop = 1}
  %b: bf16[T, 4] = reshape(%a) {shape = [<T>, <4>]}
  %c: bf16[T, 4] = layer_norm(%b, %v, %p) {eps = 1e-05}
  %d: bf16[1, T, 4] = slice(%x) {axis = 0, start = 1, stop = 2}
  %e: bf16[T, 4] = reshape(%d) {shape = [<T>, <4>]}
  %f: bf16[T, 4] = layer_norm(%e, %w, %q) {eps = 1e-05}
  %g: bf16[T, 1, 4] = reshape(%c) {shape = [<T>, <1>, <4>]}
  %h: bf16[T, 1, 4] = reshape(%f) {shape = [<T>, <1>, <4>]}
  %y: bf16[T, 2, 4] = concat(%g, %h) {axis = 1}
  return %y
}
"""
OTHER = {
    "another eps": ("%q) {eps = 1e-05}", "%q) {eps = 1e-06}"),
    "one line twice": ("start = 1, stop = 2", "start = 0, stop = 1"),
    "a line of another value": ("slice(%x) {axis = 0, start = 1", "slice(%z) {axis = 0, start = 1"),
    "more lines": ("%x: bf16[2, T, 4]", "%x: bf16[3, T, 4]"),
    "a norm without a bias": ("(%e, %w, %q)", "(%e, %w)"),
}
OF_BATCH_ONE = """
module level=model
entry @step(%x: f32[1, T, 4], %y: f32[1, T, 4]) {
  %a: f32[1, 1, T, 4] = reshape(%x) {shape = [<1>, <1>, <T>, <4>]}
  %b: f32[1, 1, T, 4] = reshape(%y) {shape = [<1>, <1>, <T>, <4>]}
  %c: f32[1, 2, T, 4] = concat(%a, %b) {axis = 1}
  return %c
}
"""


def run(module, *operands):
    return Interpreter(verify(module), {}, {"T": 3}).run("step", list(operands))[0]


def test_norms_with_biases_are_joined_and_round_where_they_did():
    before = parse_module(SPLIT)
    after, count = join_norms(before)
    operands = [torch.randn(2, 3, 4).bfloat16(), *torch.randn(4, 4).bfloat16()]
    assert count == 1
    assert [n.op for n in after.functions["step"].nodes].count("layer_norm") == 1
    torch.testing.assert_close(run(after, *operands), run(before, *operands), rtol=8e-3, atol=1e-2)


@pytest.mark.parametrize("change", OTHER)
def test_norms_that_differ_in_more_than_their_parameters_stay(change):
    text = SPLIT.replace("(%x: bf16", "(%z: bf16[2, T, 4], %x: bf16").replace(*OTHER[change])
    assert join_norms(verify(parse_module(text)))[1] == 0


def test_what_is_put_side_by_side_before_the_tokens_comes_behind_them_and_is_moved():
    """So that the first axis of whatever is computed is that of the tokens."""
    before = parse_module(OF_BATCH_ONE)
    after, _ = drop_batch_axis(before)
    [joined] = [n.result for n in after.functions["step"].nodes if n.op == "concat"]
    x, y = torch.randn(2, 1, 3, 4)
    params = after.functions["step"].params
    given = [v.reshape(p.type.concrete({"T": 3})) for v, p in zip((x, y), params, strict=True)]
    assert str(joined.shape[0]) == "T"
    assert torch.equal(run(after, *given), run(before, x, y)[0])
