"""Regions of rows of logits run the kernels of those of tokens."""

from tapeout.artifact import GridTerm
from tapeout.codegen.step_rows import LOGITS, TOKENS, KnownRegions, term_of
from tapeout.ir.parser import parse_module


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
