"""Sampling as the passes leave it."""

import pytest

from tapeout.ir.graph import Module
from tapeout.ir.ops.sampling import RESULTS
from tapeout.ir.types import TensorType
from tapeout.ir.verify import verify
from tapeout.passes.add_sampling import sampling_function
from tapeout.passes.group_regions import group_regions


@pytest.mark.parametrize("vocab_size", [1, 32, 49_153])
def test_all_of_sampling_is_one_region(vocab_size):
    function = sampling_function(TensorType.of("f32", "R", vocab_size))
    module, count = group_regions(verify(Module({"sample": function}, ("sample",), {}, "paged")))
    (call,) = verify(module).functions["sample"].nodes
    region = module.functions[call.attrs["function"]]
    assert count == 1 and region.attrs["anchor"] == "sample"
    assert [node.op for node in region.nodes] == list(RESULTS)


def test_parameters_bear_the_names_of_the_inputs_and_are_named_once():
    function = sampling_function(TensorType.of("f32", "R", 40))
    names = [value.name for value in function.params]
    assert names[0] == "logits" and len(names) == len(set(names)) == 25
    assert function.results[-1].type == TensorType.of("i32", "L")
