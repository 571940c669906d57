import importlib.util
from pathlib import Path

import pytest
import torch
from region_kernels import relative_error
from triton_regions import VARIANTS, TritonRegion

TOLERANCE = 2e-6


def _cpu_tests():
    """The same regions that the kernels for CPUs are tested with."""
    path = Path(__file__).parent.parent / "test_rows.py"
    spec = importlib.util.spec_from_file_location("cpu_rows", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CPU = _cpu_tests()


@pytest.mark.parametrize("name", CPU.REGIONS)
def test_rows_are_those_of_the_interpreter(name):
    region = TritonRegion(CPU.REGIONS[name], VARIANTS[-1])
    for tokens in (1, 5):
        arguments = CPU.arguments_of(region, tokens)
        found = region.run(arguments, {"T": tokens})
        wanted = region.reference(arguments, {"T": tokens})
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype and relative_error(one, other) <= TOLERANCE


def test_topk_takes_the_lowest_place_among_equals():
    text = """
func @best(%x: f32[T, 20]) {anchor = "rows"} {
  %v: f32[T, 3], %i: i32[T, 3] = topk(%x) {k = 3}
  return %v, %i
}"""
    region = TritonRegion(text, VARIANTS[-1])
    x = torch.tensor([[0.0] * 20, [1.0] * 5 + [2.0] * 15])
    _, places = region.run([x], {"T": 2})
    assert places.tolist() == [[0, 1, 2], [5, 6, 7]]
