import pytest
import torch

from tapeout.ir.interpret import Interpreter
from tapeout.ir.parser import parse_module
from tapeout.ir.verify import verify
from tapeout.passes.raise_rms_norm import raise_rms_norm

HEAD = """
module level=model
entry @step(%x: {dtype}[T, 8], %w: {dtype}[8]) {{
  %wide: f32[T, 8] = cast(%x) {{dtype = f32}}
  %square: f32[T, 8] = mul(%wide, %wide)
  %mean: f32[T, 1] = reduce_mean(%square) {{axis = 1}}
  %eps: f32[] = constant() {{value = 1e-05}}
  %sum: f32[T, 1] = add(%eps, %mean)
  %root: f32[T, 1] = rsqrt(%sum)
  %normal: f32[T, 8] = mul(%root, %wide)
"""
CAST_THEN_WEIGHT = """
  %narrow: bf16[T, 8] = cast(%normal) {dtype = bf16}
  %y: bf16[T, 8] = mul(%w, %narrow)
  return %y
}
"""
WEIGHT_THEN_CAST = """
  %wide_w: f32[8] = cast(%w) {dtype = f32}
  %product: f32[T, 8] = mul(%wide_w, %normal)
  %y: bf16[T, 8] = cast(%product) {dtype = bf16}
  return %y
}
"""
WIDE_RESULT = """
  %wide_w: f32[8] = cast(%w) {dtype = f32}
  %product: f32[T, 8] = mul(%wide_w, %normal)
  return %product
}
"""


def module_of(tail, dtype="bf16"):
    return verify(parse_module(HEAD.format(dtype=dtype) + tail))


def ops_of(module):
    return [node.op for node in module.functions["step"].nodes]


@pytest.mark.parametrize("tail", [CAST_THEN_WEIGHT, WEIGHT_THEN_CAST])
def test_either_order_of_cast_and_weight_is_raised(tail):
    raised, count = raise_rms_norm(module_of(tail))
    assert (count, ops_of(verify(raised))) == (1, ["rms_norm"])
    (node,) = raised.functions["step"].nodes
    assert node.attrs["eps"] == 1e-05
    assert [value.name for value in node.operands] == ["x", "w"]


def test_a_result_that_stays_wide_is_normed_wide():
    raised, _ = raise_rms_norm(module_of(WIDE_RESULT))
    assert ops_of(verify(raised)) == ["cast", "rms_norm"]
    assert str(raised.functions["step"].results[0].type) == "f32[T, 8]"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reduce_mean(%square) {axis = 1}", "reduce_sum(%square) {axis = 1}"),
        ("%square: f32[T, 8] = mul(%wide, %wide)", "%square: f32[T, 8] = mul(%wide, %root_w)"),
        ("%root: f32[T, 1] = rsqrt(%sum)", "%root: f32[T, 1] = sqrt(%sum)"),
    ],
)
def test_what_only_looks_like_a_norm_is_left_alone(old, new):
    text = HEAD.format(dtype="bf16").replace(
        "%square:", "%root_w: f32[8] = cast(%w) {dtype = f32}\n  %square:", 1
    )
    assert old in text
    module = verify(parse_module(text.replace(old, new) + CAST_THEN_WEIGHT))
    assert raise_rms_norm(module) == (module, 0)


def test_the_norm_computes_what_its_steps_computed():
    before = module_of(WIDE_RESULT, "f32")
    after, _ = raise_rms_norm(before)
    arguments = [torch.randn(5, 8), torch.randn(8)]
    found, wanted = (
        Interpreter(m, {}, {"T": 5}).run("step", arguments)[0] for m in (after, before)
    )
    torch.testing.assert_close(found, wanted)
