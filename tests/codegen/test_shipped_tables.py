"""Tables that ship: their entries are of kernels that the measured shapes still have."""

import json

import pytest
from measured_steps import BENCH
from transformers import AutoConfig

from tapeout import settings
from tapeout.codegen.triton.choice_records import choices_of
from tapeout.codegen.triton.program import compile_gpu_program
from tapeout.codegen.tuned_kernels import open_table, tuned_for
from tapeout.frontend.trace import trace_config
from tapeout.ir.types import DType
from tapeout.ir.verify import verify
from tapeout.passes.pipeline import stages_of
from tapeout.passes.run import run_stages

TARGET = "cuda:sm_90"
SHAPES = json.loads((BENCH / "gpu_shapes.json").read_text())


def configured_by(tuned, shape):
    """The keys of a shape's kernels that are as a table says."""
    config = AutoConfig.for_model(**SHAPES[shape])
    with settings.CHECK_PASSES.override("0"):  # passes are checked on small models
        module = run_stages(verify(trace_config(config, DType.BF16)), stages_of(TARGET))[0]
    asked = {key: found.configuration for key, found in tuned.items()}
    choices = choices_of(compile_gpu_program(module, TARGET, tuned=asked), tuned)
    return {choice.key for choice in choices if choice.origin.startswith("table ")}


@pytest.mark.slow
def test_every_entry_of_the_h200_configures_a_kernel_of_the_shapes_it_was_found_for():
    tuned = tuned_for(open_table("h200", ["sm_90"]), "sm_90")
    shapes = ("llama-3.1-8b", "llama-3.2-1b", "qwen3-0.6b")
    assert set().union(*(configured_by(tuned, shape) for shape in shapes)) == set(tuned)
