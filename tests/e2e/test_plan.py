from pathlib import Path
from unittest.mock import patch

import pytest

from tapeout.api import plan_checkpoint
from tapeout.artifact.checks import check_tape
from tapeout.frontend.trace import trace
from tapeout.runtime.cuda.card_limits import CARDS
from tapeout.runtime.limits import Limits
from tapeout.runtime.load import open_model
from tapeout.runtime.plan import plan_memory
from tapeout.runtime.plan_report import Device, plan_target

LIMITS = Limits(max_model_len=200, max_num_seqs=3, max_num_batched_tokens=70)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gpt_oss"])
def test_a_plan_of_the_checkpoint_is_what_is_allocated_to_the_byte(
    name, dtype, checkpoint_of, artifact_of
):
    model, described = plan_checkpoint(checkpoint_of(name), dtype=dtype)
    plan = plan_memory(described["cpu"].target, model.max_position_embeddings, LIMITS)
    loaded = open_model(artifact_of(name, dtype), LIMITS, num_threads=1)
    buffers = loaded.executor.buffers
    loaded.executor.close()

    assert plan == loaded.plan
    assert plan.total_bytes == buffers.num_bytes
    assert plan.arena_bytes == buffers.arena.nbytes
    assert plan.kv_cache_bytes == sum(cache.nbytes for cache in buffers.caches.values())


def test_a_plan_of_several_targets_traces_the_checkpoint_once(checkpoint_of):
    targets = ["cpu", "cuda:sm_90", "cuda:sm_80"]
    with patch("tapeout.api.trace", wraps=trace) as traced:
        _, described = plan_checkpoint(checkpoint_of("llama"), targets)
    assert traced.call_count == 1 and [*described] == targets


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen3_moe"])
def test_a_gpu_is_planned_for_from_a_checkpoint_without_compiling(name, checkpoint_of, monkeypatch):
    monkeypatch.setattr("tapeout.codegen.triton.build.compile_kernels", None)
    model, described = plan_checkpoint(checkpoint_of(name), ["cuda:sm_90", "cuda:sm_80"])
    for target in described:
        for tape in described[target].tapes.values():
            check_tape(tape, described[target].target, Path(target))
    device = Device(
        name="h100", memory_bytes=1 << 34, limits=CARDS["h100"].limits, assumed="as it is"
    )
    plan = plan_target("cuda:sm_90", model, described["cuda:sm_90"], device, LIMITS, (9, 120))
    assert [(s.num_seqs, s.context) for s in plan.decode] == [
        (count, context) for count in (1, 2, 3) for context in (9, 120)
    ]
    assert [s.num_tokens for s in plan.prompts] == [70]
    for step in (*plan.decode, *plan.prompts):
        times_s = [row.time_s for row in step.kernels]
        assert min(times_s) > 0 and sum(times_s) <= step.time_s * (1 + 1e-9)
        assert all(row.bytes is not None and row.flops is not None for row in step.kernels)
