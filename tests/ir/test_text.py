"""Modules print as text that parses back to the same module."""

from pathlib import Path

import pytest

from tapeout.ir.parser import ParseError, parse_module
from tapeout.ir.printer import print_attr
from tapeout.ir.types import Dim, DType
from tapeout.ir.verify import VerifyError, verify
from tapeout.passes.pipeline import FUSE, PAGED, REGIONS
from tapeout.passes.run import run_stages

LLAMA = (Path(__file__).parent / "llama.ir").read_text()


@pytest.mark.parametrize("stages", [(), (PAGED,), (PAGED, FUSE), (PAGED, FUSE, REGIONS)])
def test_module_round_trips_at_every_level(stages):
    module, _ = run_stages(parse_module(LLAMA), stages)
    assert str(parse_module(str(module))) == str(module)
    verify(parse_module(str(module)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        3,
        -3,
        0.5,
        1e-06,
        -2.5e20,
        'a "b"\n',
        Dim.of("2*i+1"),
        DType.BF16,
        (1, ("x",)),
    ],
)
def test_attribute_round_trips(value):
    text = f"module level=model {{a = {print_attr(value)}}}"
    assert parse_module(text).attrs["a"] == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("module level=model\nfunc @f() { %a: f32[] = exp(%b) return %a }", "before it is defined"),
        ("module level=model\nfunc @f() { ?", "line 2"),
        ("module level=model\nfunc @f(", "ends too early"),
        ("module level=model\nblob @f()", "weight, entry or func"),
    ],
)
def test_text_that_is_no_ir_is_refused(text, reason):
    with pytest.raises(ParseError, match=reason):
        parse_module(text)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("%y: f32[T, 9] = exp(%x)", "wanted"),
        ("%y: f32[T, 8] = linear(%x, %x)", "wanted"),
        ("%x: f32[T, 8] = exp(%x)", "twice"),
        ("%y: f32[T, 8] = add(%x)", "operands"),
        ('%y: f32[T, 8] = region(%x) {function = "f"}', "not allowed at level model"),
        ("%y: f32[T, 4] = slice(%x) {axis = 1, start = 6, stop = 10}", "slice to 10"),
    ],
)
def test_verifier_names_the_function_and_the_broken_rule(line, reason):
    text = f"module level=model\nentry @step(%x: f32[T, 8]) {{ {line} return %x }}"
    with pytest.raises(VerifyError, match=reason) as error:
        verify(parse_module(text))
    assert "@step" in str(error.value)
