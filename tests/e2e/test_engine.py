"""The whole engine over real kernels: a request's tokens depend on nothing but the request."""

import pytest
from models import random_prompts, tiny_config

from tapeout import LLM, SamplingParams
from tapeout.api import plan_checkpoint
from tapeout.runtime.limits import Limits
from tapeout.runtime.plan import plan_memory

MODELS = ["llama", "gemma2"]
LENGTHS = [1, 16, 17, 40, 90, 5, 33, 2]
SAMPLED = SamplingParams(temperature=0.8, seed=7, max_tokens=30, ignore_eos=True)
TIGHT = {
    "one at a time": {"max_num_seqs": 1},
    "chunks of seven": {"max_num_seqs": 6, "max_num_batched_tokens": 7},
    "two threads": {"num_threads": 2},
}


def tokens(llm, prompts):
    inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
    return [out.outputs[0].token_ids for out in llm.generate(inputs, SAMPLED, use_tqdm=False)]


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def prompts(name):
    return random_prompts(tiny_config(name).vocab_size, LENGTHS, seed=3)


def open_llm(artifact, **options):
    defaults = {"num_threads": 1, "max_model_len": 128, "skip_tokenizer_init": True}
    return LLM(artifact, **{**defaults, **options})


@pytest.mark.parametrize("how", TIGHT)
def test_tokens_are_the_same_however_the_steps_are_cut(name, prompts, how, artifact_of):
    wanted = tokens(open_llm(artifact_of(name)), prompts)
    assert tokens(open_llm(artifact_of(name), **TIGHT[how]), prompts) == wanted


def test_tokens_are_the_same_after_preemption(name, prompts, artifact_of):
    wanted = tokens(open_llm(artifact_of(name)), prompts)
    plan = open_llm(artifact_of(name), max_num_seqs=1).memory_plan
    scarce = open_llm(artifact_of(name), kv_cache_bytes=2 * plan.kv_cache_bytes)
    assert tokens(scarce, prompts) == wanted
    assert scarce.engine.scheduler.num_preemptions > 0


def test_a_plan_of_the_checkpoint_is_what_the_artifact_allocates(name, checkpoint_of, artifact_of):
    model, described = plan_checkpoint(checkpoint_of(name), dtype="float32")
    target = described["cpu"].target
    plan = plan_memory(target, model.max_position_embeddings, Limits(max_num_seqs=3))
    llm = LLM(artifact_of(name), max_num_seqs=3, skip_tokenizer_init=True)
    assert plan == llm.memory_plan
