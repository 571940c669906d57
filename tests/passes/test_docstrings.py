"""The Before and After in a pass's docstring are what the pass does."""

import importlib
import textwrap
from pathlib import Path

import pytest

import tapeout
from tapeout.ir.parser import parse_module
from tapeout.ir.verify import verify

FOLDER = Path(tapeout.__file__).parent / "passes"
PASSES = sorted(p.stem for p in FOLDER.glob("*.py") if "\nBefore:\n" in p.read_text())


def _example(name):
    module = importlib.import_module(f"tapeout.passes.{name}")
    text = module.__doc__.split("Before:\n")[1]
    before, rest = text.split("\nAfter:\n")
    after = rest.split("\nRequires:")[0]
    parsed = [parse_module(textwrap.dedent(part)) for part in (before, after)]
    return getattr(module, name), *parsed


@pytest.mark.parametrize("name", PASSES)
def test_pass_turns_before_into_after(name):
    run, before, after = _example(name)
    found, count = run(verify(before))
    assert str(verify(found)) == str(after)
    assert count > 0


@pytest.mark.parametrize("name", PASSES)
def test_pass_changes_nothing_the_second_time(name):
    run, before, _ = _example(name)
    once, _ = run(before)
    twice, count = run(once)
    assert count == 0
    assert str(twice) == str(once)


@pytest.mark.parametrize("name", PASSES)
def test_docstring_says_what_is_required_and_kept(name):
    module = importlib.import_module(f"tapeout.passes.{name}")
    assert "\nRequires:" in module.__doc__ and "\nKeeps:" in module.__doc__


def test_every_pass_of_the_pipeline_has_an_example():
    from tapeout.passes.pipeline import GPU_STAGES

    for stage in GPU_STAGES:
        for one in stage.passes:
            assert one.__module__.rsplit(".", 1)[-1] in PASSES, one
