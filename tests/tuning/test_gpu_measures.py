"""What variants are compared with, on a stub of a device."""

from types import SimpleNamespace

import numpy as np
import pytest

from tapeout.artifact import Operand, SlotBuffer
from tapeout.ir.parser import parse_function
from tapeout.tuning.gpu_measures import GpuMeasures

REGION = """
func @twice(%x: i32[T]) {anchor = "rows"} {
  %y: i32[T] = add(%x, %x)
  return %y
}
"""


def work_of(region):
    call = SimpleNamespace(buffers={Operand("result", 0): SlotBuffer(0)})
    steps = SimpleNamespace(batch_invariant=False)
    return SimpleNamespace(steps=steps, function=parse_function(region), calls=[call])


@pytest.fixture
def wrong(monkeypatch):
    """Has a variant checked in two steps; the first reads what the second has written last."""
    page, (first, second) = np.zeros((1, 4), np.uint8), (SimpleNamespace(dims=(4,)) for _ in "ab")

    def results(measures, work, frame, variant=None):
        if frame is second:
            page[:] = 9
        return [page + (variant == "wrong")]

    monkeypatch.setattr(GpuMeasures, "_results", results)
    frames = SimpleNamespace(checked=lambda steps: [first, second])
    measures, work = GpuMeasures(None, None, None, frames), work_of(REGION)
    return lambda variant: measures.wrong(work, variant)


def test_what_a_step_writes_where_another_reads_makes_no_variant_wrong(wrong):
    assert [wrong("right") for _ in range(3)] == [None] * 3


def test_a_variant_that_differs_is_wrong(wrong):
    assert wrong("wrong") == "in a step of 4 tokens 4 of 4 bytes differ"


def test_pages_that_timing_has_filled_with_no_numbers_are_filled_anew(monkeypatch):
    page, frame = np.full((1, 4), np.nan, np.float32), SimpleNamespace(dims=(1,))

    def results(measures, work, frame, variant=None):
        return [(page * (2 if variant == "wrong" else 1)).view(np.uint8)]

    monkeypatch.setattr(GpuMeasures, "_results", results)
    frames = SimpleNamespace(checked=lambda steps: [frame], fill=lambda _: page.fill(1.5))
    measures, work = GpuMeasures(None, None, None, frames), work_of(REGION.replace("i32", "f32"))
    assert measures.wrong(work, "right") is None
    assert page[0, 0] == 1.5
    page[:] = np.nan
    assert "is off by" in measures.wrong(work, "wrong")
