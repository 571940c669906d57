import pytest
import torch

from tapeout.ir.interpret import Interpreter
from tapeout.ir.parser import parse_module
from tapeout.ir.verify import verify
from tapeout.passes.raise_rope import raise_rope

INTERLEAVED = """
module level=model
entry @step(%x: f32[T, 2, 8], %c: f32[T, 4], %s: f32[T, 4]) {
  %c1: f32[T, 4, 1] = reshape(%c) {shape = [<T>, <4>, <1>]}
  %c2: f32[T, 4, 2] = concat(%c1, %c1) {axis = 2}
  %cos: f32[T, 1, 8] = reshape(%c2) {shape = [<T>, <1>, <8>]}
  %s1: f32[T, 4, 1] = reshape(%s) {shape = [<T>, <4>, <1>]}
  %s2: f32[T, 4, 2] = concat(%s1, %s1) {axis = 2}
  %sin: f32[T, 1, 8] = reshape(%s2) {shape = [<T>, <1>, <8>]}
  %a: f32[T, 2, 4] = slice(%x) {axis = 2, start = 0, stop = 8, step = 2}
  %b: f32[T, 2, 4] = slice(%x) {axis = 2, start = 1, stop = 8, step = 2}
  %n: f32[T, 2, 4] = neg(%b)
  %n1: f32[T, 2, 4, 1] = reshape(%n) {shape = [<T>, <2>, <4>, <1>]}
  %a1: f32[T, 2, 4, 1] = reshape(%a) {shape = [<T>, <2>, <4>, <1>]}
  %pairs: f32[T, 2, 4, 2] = concat(%n1, %a1) {axis = 3}
  %turned: f32[T, 2, 8] = reshape(%pairs) {shape = [<T>, <2>, <8>]}
  %first: f32[T, 2, 8] = mul(%x, %cos)
  %second: f32[T, 2, 8] = mul(%sin, %turned)
  %y: f32[T, 2, 8] = add(%second, %first)
  return %y
}
"""
CONCATENATED = """
module level=model
entry @step(%x: f32[T, 2, 8], %c: f32[T, 4], %s: f32[T, 4]) {
  %cos: f32[T, 1, 4] = reshape(%c) {shape = [<T>, <1>, <4>]}
  %sin: f32[T, 1, 4] = reshape(%s) {shape = [<T>, <1>, <4>]}
  %a: f32[T, 2, 4] = slice(%x) {axis = 2, start = 0, stop = 4}
  %b: f32[T, 2, 4] = slice(%x) {axis = 2, start = 4, stop = 8}
  %ac: f32[T, 2, 4] = mul(%a, %cos)
  %bs: f32[T, 2, 4] = mul(%b, %sin)
  %bc: f32[T, 2, 4] = mul(%b, %cos)
  %as: f32[T, 2, 4] = mul(%a, %sin)
  %low: f32[T, 2, 4] = sub(%ac, %bs)
  %high: f32[T, 2, 4] = add(%as, %bc)
  %y: f32[T, 2, 8] = concat(%low, %high) {axis = 2}
  return %y
}
"""
STACKED = (
    CONCATENATED.replace("start = 0, stop = 4}", "start = 0, stop = 8, step = 2}")
    .replace("start = 4, stop = 8}", "start = 1, stop = 8, step = 2}")
    .replace(
        "  %y: f32[T, 2, 8] = concat(%low, %high) {axis = 2}",
        """  %low1: f32[T, 2, 4, 1] = reshape(%low) {shape = [<T>, <2>, <4>, <1>]}
  %high1: f32[T, 2, 4, 1] = reshape(%high) {shape = [<T>, <2>, <4>, <1>]}
  %pairs: f32[T, 2, 4, 2] = concat(%low1, %high1) {axis = 3}
  %y: f32[T, 2, 8] = reshape(%pairs) {shape = [<T>, <2>, <8>]}""",
    )
)
IN_PAIRS = STACKED.replace(
    "%a: f32[T, 2, 4] = slice(%x) {axis = 2, start = 0, stop = 8, step = 2}",
    """%p: f32[T, 2, 4, 2] = reshape(%x) {shape = [<T>, <2>, <4>, <2>]}
  %a1: f32[T, 2, 4, 1] = slice(%p) {axis = 3, start = 0, stop = 1}
  %a: f32[T, 2, 4] = reshape(%a1) {shape = [<T>, <2>, <4>]}""",
).replace(
    "%b: f32[T, 2, 4] = slice(%x) {axis = 2, start = 1, stop = 8, step = 2}",
    """%b1: f32[T, 2, 4, 1] = slice(%p) {axis = 3, start = 1, stop = 2}
  %b: f32[T, 2, 4] = reshape(%b1) {shape = [<T>, <2>, <4>]}""",
)
ONE_HEAD = """
module level=model
entry @step(%x: f32[T, 8], %c: f32[T, 4], %s: f32[T, 4]) {
  %cos: f32[T, 8] = concat(%c, %c) {axis = 1}
  %sin: f32[T, 8] = concat(%s, %s) {axis = 1}
  %a: f32[T, 4] = slice(%x) {axis = 1, start = 0, stop = 4}
  %b: f32[T, 4] = slice(%x) {axis = 1, start = 4, stop = 8}
  %n: f32[T, 4] = neg(%b)
  %turned: f32[T, 8] = concat(%n, %a) {axis = 1}
  %first: f32[T, 8] = mul(%x, %cos)
  %second: f32[T, 8] = mul(%turned, %sin)
  %y: f32[T, 8] = add(%first, %second)
  return %y
}
"""

OF_NEIGHBOURS = INTERLEAVED[INTERLEAVED.index("%c1") : INTERLEAVED.index("\n  %s1")]
OF_HALVES = """%c2: f32[T, 8] = concat(%c, %c) {axis = 1}
  %cos: f32[T, 1, 8] = reshape(%c2) {shape = [<T>, <1>, <8>]}"""
"""Cosines of each pair of halves, as far apart as those of neighbours are near."""


@pytest.mark.parametrize(
    ("text", "style"),
    [
        (INTERLEAVED, "interleaved"),
        (CONCATENATED, "half"),
        (STACKED, "interleaved"),
        (IN_PAIRS, "interleaved"),
        (ONE_HEAD, "half"),
    ],
)
def test_each_way_of_writing_it_is_raised_and_computes_the_same(text, style):
    before = verify(parse_module(text))
    after, count = raise_rope(before)
    verify(after)
    ropes = [node for node in after.functions["step"].nodes if node.op == "rope"]
    assert (count, [node.attrs["style"] for node in ropes]) == (1, [style])
    shape = before.functions["step"].params[0].type.concrete({"T": 5})
    arguments = [torch.randn(shape), torch.randn(5, 4), torch.randn(5, 4)]
    found, wanted = (
        Interpreter(m, {}, {"T": 5}).run("step", arguments)[0] for m in (after, before)
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (ONE_HEAD, "%cos: f32[T, 8] = concat(%c, %c)", "%cos: f32[T, 8] = concat(%c, %s)"),
        (ONE_HEAD, "concat(%n, %a)", "concat(%a, %n)"),
        (CONCATENATED, "sub(%ac, %bs)", "sub(%bs, %ac)"),
        (CONCATENATED, "%as: f32[T, 2, 4] = mul(%a, %sin)", "%as: f32[T, 2, 4] = mul(%a, %cos)"),
        (STACKED, "concat(%low1, %high1)", "concat(%high1, %low1)"),
        (STACKED, "start = 0, stop = 8, step = 2", "start = 0, stop = 4, step = 1"),
        (IN_PAIRS, "start = 0, stop = 1", "start = 1, stop = 2"),
        (INTERLEAVED, "neg(%b)", "neg(%a)"),
        (INTERLEAVED, OF_NEIGHBOURS, OF_HALVES),
    ],
)
def test_what_only_looks_like_a_rotation_is_left_alone(text, old, new):
    assert old in text
    module = verify(parse_module(text.replace(old, new)))
    assert raise_rope(module) == (module, 0)


def test_a_table_of_one_column_for_all_pairs_is_left_alone():
    text = CONCATENATED.replace("%c: f32[T, 4], %s: f32[T, 4]", "%c: f32[T, 1], %s: f32[T, 1]")
    for name in ("cos", "sin"):
        text = text.replace(f"%{name}: f32[T, 1, 4]", f"%{name}: f32[T, 1, 1]")
    module = verify(parse_module(text.replace("<1>, <4>]", "<1>, <1>]")))
    assert raise_rope(module) == (module, 0)
