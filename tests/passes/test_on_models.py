"""Properties of every pass, on whole models."""

import pytest
from models import CONFIGS, tiny_config

from tapeout.frontend.trace import trace_config
from tapeout.ir.parser import parse_module
from tapeout.ir.types import DType
from tapeout.passes.pipeline import GPU_STAGES
from tapeout.passes.run import name_of


@pytest.mark.parametrize("name", CONFIGS)
def test_a_second_run_of_a_pass_changes_nothing(name):
    module = trace_config(tiny_config(name), DType.BF16)
    for stage in GPU_STAGES:
        for one in stage.passes:
            module, _ = one(module)
            again, count = one(module)
            assert (count, str(again)) == (0, str(module)), f"{stage.name}/{name_of(one)}"


@pytest.mark.parametrize("name", ["gpt_oss", "llama_llama3_rope"])
def test_two_traces_of_a_model_give_the_same_text_which_reads_back(name):
    first, second = (str(trace_config(tiny_config(name))) for _ in range(2))
    assert first == second
    assert str(parse_module(first)) == first
