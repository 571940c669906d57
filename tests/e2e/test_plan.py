import pytest

from tapeout.api import plan_checkpoint
from tapeout.runtime.load import open_model
from tapeout.runtime.plan import Limits, plan_memory

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
