"""Which norms have squares, over which layers they are carried, and why others have none."""

import pytest
import torch

from tapeout.ir.interpret import Interpreter
from tapeout.ir.parser import parse_module
from tapeout.ir.verify import verify
from tapeout.passes.carry_squares import carry_squares, missed_squares

TEXT = """
module level=region
weight @layer0.w bf16[8, 8] for 2 = checkpoint("h.{i}.w")
weight @layer1.w bf16[8, 8] for 2 = checkpoint("h.{i}.v")
weight @last.w bf16[8, 8] for 1 = checkpoint("last.w")

entry @step(%h: bf16[T, 8], %o: bf16[T, 8], %g: bf16[8]) {
  %e: bf16[T, 8] = region(%h) {function = "move"}
  %r: bf16[T, 8] = repeat(%e, %o, %g)
    {carried = 1, count = 2, pattern = ["layer0", "layer1"], weights = [["layer0.w"], ["layer1.w"]]}
  %l: bf16[T, 8] = repeat(%r, %o, %g)
    {carried = 1, count = 1, pattern = ["layer1"], weights = [["last.w"]]}
  return %l
}

func @layer0(%x: bf16[T, 8], %o: bf16[T, 8], %g: bf16[8], %w: bf16[8, 8]) {
  %z: bf16[T, 8] = region(%o, %w, %x) {function = "linear_add"}
  return %z
}

func @layer1(%x: bf16[T, 8], %o: bf16[T, 8], %g: bf16[8], %w: bf16[8, 8]) {
  %y: bf16[T, 8] = region(%x, %w) {function = "norm_linear"}
  %z: bf16[T, 8] = region(%y, %w, %x) {function = "linear_add"}
  return %z
}

func @move(%x: bf16[T, 8]) {anchor = "rows"} {
  %y: bf16[T, 8] = neg(%x)
  return %y
}

func @norm_linear(%x: bf16[T, 8], %w: bf16[8, 8]) {anchor = "linear"} {
  %n: bf16[T, 8] = rms_norm(%x) {eps = 1e-06}
  %y: bf16[T, 8] = linear(%n, %w)
  return %y
}

func @linear_add(%x: bf16[T, 8], %w: bf16[8, 8], %a: bf16[T, 8]) {anchor = "linear"} {
  %y: bf16[T, 8] = linear(%x, %w)
  %z: bf16[T, 8] = add(%a, %y)
  return %z
}
"""


def test_layers_without_a_norm_and_later_repeats_carry_squares_too():
    found, count = carry_squares(verify(parse_module(TEXT)))
    assert count == 1 and list(missed_squares(verify(found))) == []
    for name in ("layer0", "layer1"):
        assert [v.name for v in found.functions[name].params][:2] == ["x", "x_squares"]
        assert [v.name for v in found.functions[name].results] == ["z", "z_squares"]
    repeats = [node for node in found.functions["step"].nodes if node.op == "repeat"]
    assert [r.attrs["carried"] for r in repeats] == [2, 2]
    assert repeats[1].operands[:2] == repeats[0].results
    assert {"linear_add", "norm_linear", "move"}.isdisjoint(found.functions)


def test_a_module_with_squares_says_what_it_said_without():
    torch.manual_seed(0)
    module = parse_module(TEXT)
    names = ("layer0.w/0", "layer0.w/1", "layer1.w/0", "layer1.w/1", "last.w/0")
    weights = {name: torch.randn(8, 8).bfloat16() for name in names}
    arguments = [torch.randn(size).bfloat16() for size in ((5, 8), (5, 8), (8,))]
    with_squares, _ = carry_squares(module)
    runs = [
        Interpreter(one, weights, {"T": 5}).run("step", arguments) for one in (module, with_squares)
    ]
    torch.testing.assert_close(runs[0][0], runs[1][0], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("old", "new", "predicate", "found"),
    [
        (
            "repeat(%e, %o, %g)",
            "repeat(%h, %o, %g)",
            "products, or work on rows, make the rows in all layers",
            "%h of @step",
        ),
        (
            '%y: bf16[T, 8] = region(%x, %w) {function = "norm_linear"}',
            '%y: bf16[T, 8] = region(%o, %w) {function = "norm_linear"}',
            "products, or work on rows, make the rows in all layers",
            "%o of @layer1",
        ),
        (
            '{anchor = "rows"}',
            '{anchor = "experts"}',
            "products, or work on rows, make the rows in all layers",
            "%e of @step from move: bf16[T, 8]",
        ),
    ],
)
def test_a_norm_without_squares_names_what_makes_its_rows(old, new, predicate, found):
    module = verify(parse_module(TEXT.replace(old, new)))
    assert carry_squares(module) == (module, 0)
    (miss,) = missed_squares(module)
    assert (miss.function, miss.obstacle.predicate, miss.obstacle.found) == (
        "layer1",
        predicate,
        found,
    )


def test_a_norm_with_a_weight_of_its_own_has_no_squares():
    text = TEXT.replace("rms_norm(%x)", "rms_norm(%x, %g)")
    text = text.replace("@norm_linear(%x: bf16[T, 8],", "@norm_linear(%x: bf16[T, 8], %g: bf16[8],")
    text = text.replace('region(%x, %w) {function = "norm', 'region(%x, %g, %w) {function = "norm')
    module = verify(parse_module(text))
    assert carry_squares(module) == (module, 0)
    (miss,) = missed_squares(module)
    assert str(miss.obstacle).startswith("wanted that the norm is a factor of each row alone")
