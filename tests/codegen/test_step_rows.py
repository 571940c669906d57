"""Regions of rows of logits run the kernels of those of tokens, or have no launch."""

import pytest

from tapeout.artifact import GridTerm
from tapeout.codegen.step_rows import LOGITS, TOKENS, KnownRegions, params_taken, term_of
from tapeout.ir.parser import parse_function, parse_module


def region(name, rows, op="exp"):
    text = f"""module level=region
    func @{name}(%x: f32[{rows}, 8]) {{anchor = "rows"}} {{
      %flat: f32[{rows}, 2, 4] = reshape(%x) {{shape = [<{rows}>, <2>, <4>]}}
      %y: f32[{rows}, 2, 4] = {op}(%flat)
      return %y
    }}"""
    return parse_module(text).functions[name]


def test_a_region_of_logits_rows_is_that_of_tokens_which_was_called_before():
    known = KnownRegions()
    tokens, logits = region("tokens", "T"), region("logits", "R")
    assert known.alike(tokens) == (tokens, TOKENS)
    assert known.alike(logits) == (tokens, LOGITS)


def test_one_that_no_region_of_tokens_is_like_stays_itself():
    known = KnownRegions()
    known.alike(region("tokens", "T"))
    other = region("logits", "R", "neg")
    assert known.alike(other) == (other, TOKENS)
    assert KnownRegions().alike(region("first", "R"))[1] == TOKENS


def test_a_launch_has_the_grid_of_its_own_rows():
    term = GridTerm({"T": 2, "": 3}, 4, 5)
    assert term_of(term, LOGITS) == GridTerm({"R": 2, "": 3}, 4, 5)
    assert term_of(term, TOKENS) == term


TAKES = """
func @take(%y: f32[T, 4, 8], %rows: i32[R], %h: f32[T, 8]) {anchor = "rows"} {
  %last: f32[R, 8] = gather_rows(%h, %rows)
  %y_last: f32[R, 4, 8] = gather_rows(%y, %rows)
  return %y_last, %last
}
"""
OTHERS = {
    "an embedding": """
func @embed(%table: f32[40, 8], %ids: i32[T]) {anchor = "rows"} {
  %x: f32[T, 8] = gather_rows(%table, %ids)
  return %x
}
""",
    "rows of a table": """
func @take(%table: f32[40, 8], %rows: i32[R]) {anchor = "rows"} {
  %x: f32[R, 8] = gather_rows(%table, %rows)
  return %x
}
""",
    "more than that": """
func @take(%h: f32[T, 8], %rows: i32[R], %b: f32[R, 8]) {anchor = "rows"} {
  %x: f32[R, 8] = gather_rows(%h, %rows)
  %y: f32[R, 8] = add(%x, %b)
  return %x, %y
}
""",
}


def test_a_region_that_takes_rows_alone_gives_those_of_its_parameters():
    assert params_taken(parse_function(TAKES)) == [0, 2]


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_a_region_that_takes_no_rows_of_tokens_or_does_more_gives_none(text):
    assert params_taken(parse_function(text)) == []
