"""A GPU lends what the plan says, and little beside it."""

import pytest

from tapeout import LLM

pytestmark = pytest.mark.gpu

MAX_BESIDE_BYTES = 64 << 20


@pytest.mark.parametrize("name", ["llama", "qwen3_moe"])
def test_kernels_and_graphs_take_little_beside_what_is_planned(name, gpu_artifact_of):
    llm = LLM(gpu_artifact_of(name), skip_tokenizer_init=True, max_num_seqs=64, max_model_len=512)
    lent = llm.executor.device_bytes
    llm._close()
    assert lent["planned"] == llm.memory_plan.total_bytes
    assert 0 <= lent["kernels, graphs and rounding"] <= MAX_BESIDE_BYTES
