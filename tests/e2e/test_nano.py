"""tapeout-nano through `LLM` and `AsyncLLM`: every request answers as it does alone."""

import asyncio
import json
import random
from pathlib import Path

import pytest
from covering import pairwise

from tapeout import LLM, AsyncLLM, RequestOutputKind, SamplingParams, StructuredOutputsParams

PROMPTS = Path(__file__).parents[2] / "examples" / "nano" / "prompts.json"
FEATURES = {
    "n": (1, 3),
    "temperature": (0.0, 0.6, 1.5),
    "top_k": (0, 1, 20),
    "top_p": (1.0, 0.5),
    "min_p": (0.0, 0.1),
    "presence_penalty": (0.0, 1.0),
    "frequency_penalty": (0.0, -0.5),
    "repetition_penalty": (1.0, 1.3),
    "seed": (-5, 0, 2**63 - 1),
    "stop": (None, "e", ["the", " a", "zzz"]),
    "stop_token_ids": (None, list(range(300, 400))),
    "ignore_eos": (False, True),
    "max_tokens": (1, 24, 60),
    "min_tokens": (0, 1, 9),
    "logprobs": (None, 0, 5, 20),
    "prompt_logprobs": (None, None, 0, 3),
    "skip_special_tokens": (True, False),
    "include_stop_str_in_output": (False, True),
    "logit_bias": (None, {7: 3.0, 300: -100.0, 301: 2.5}),
    "allowed_token_ids": (None, list(range(0, 2048, 3))),
    "bad_words": (None, ["the", "to be", "a"]),
    "structured_outputs": (
        None,
        StructuredOutputsParams(regex="[a-z ,.]+[0-9]?"),
        StructuredOutputsParams(grammar='start: sentence+\nsentence: /[a-z ]{1,20}/ ("!" | "?")'),
    ),
    "truncate_prompt_tokens": (None, 5, -1),
}
ONE_BY_ONE = {"max_num_seqs": 1, "enable_prefix_caching": False}
TOGETHER = {
    "all at once": {"max_num_seqs": 64},
    "in chunks of nine": {"max_num_seqs": 6, "max_num_batched_tokens": 9},
    "with few pages": {"max_num_seqs": 16, "max_num_batched_tokens": 64, "few_pages": True},
    "on two threads": {"max_num_seqs": 16, "num_threads": 2},
}
NUM_CANCELLED = 12


def open_model(kind, artifact, few_pages=False, **options):
    options = {"num_threads": 1, "max_model_len": 384} | options
    if few_pages:
        alone = open_model(kind, artifact, max_num_seqs=1)
        options["kv_cache_bytes"] = alone.memory_plan.kv_cache_bytes
    return kind(artifact, **options)


def possible(features):
    """The combination, without what may not be asked for together."""
    if features["temperature"] == 0:
        features["n"] = 1
    features["min_tokens"] = min(features["min_tokens"], features["max_tokens"])
    return SamplingParams(**features)


@pytest.fixture(scope="module")
def requests(nano):
    """Prompts and params that together hold every pair of features."""
    llm = open_model(LLM, nano, max_num_seqs=1)
    prompts = [
        llm.render_chat(p["messages"], tools=p.get("tools"), add_generation_prompt=True)
        for p in json.loads(PROMPTS.read_text())
    ]
    combinations = [features for seed in range(3) for features in pairwise(FEATURES, seed)]
    params = [possible(features) for features in combinations]
    return [(prompts[i % len(prompts)], one) for i, one in enumerate(params)]


@pytest.fixture(scope="module")
def wanted(nano, requests):
    """What each request answers alone."""
    llm = open_model(LLM, nano, **ONE_BY_ONE)
    answers = [llm.generate([p], params, use_tqdm=False)[0] for p, params in requests]
    assert len({tuple(answer.outputs[0].token_ids) for answer in answers}) > len(answers) / 2
    return answers


def same(found, wanted):
    names = ("prompt_token_ids", "outputs", "prompt_logprobs", "finished")
    return all(getattr(found, name) == getattr(wanted, name) for name in names)


@pytest.mark.parametrize("how", TOGETHER)
def test_all_pairs_of_features_in_a_batch_answer_as_alone(nano, requests, wanted, how):
    llm = open_model(LLM, nano, **TOGETHER[how])
    order = random.Random(how).sample(range(len(requests)), len(requests))
    prompts, params = zip(*(requests[i] for i in order), strict=True)
    found = llm.generate(list(prompts), list(params), use_tqdm=False)
    assert [i for i, one in zip(order, found, strict=True) if not same(one, wanted[i])] == []
    assert (llm.engine.scheduler.num_preemptions > 0) == (how == "with few pages")


def test_streams_of_all_kinds_come_and_go_and_answer_as_alone(nano, requests, wanted):
    rng = random.Random(2)
    llm = open_model(AsyncLLM, nano, max_num_seqs=6, max_num_batched_tokens=48)

    async def whole(index):
        await asyncio.sleep(rng.uniform(0, 1))
        prompt, params = requests[index]
        params = params.clone()
        params.output_kind = rng.choice(list(RequestOutputKind))
        answer = None
        async for output in llm.generate(prompt, params):
            is_delta = params.output_kind is RequestOutputKind.DELTA
            answer = answer.extended(output) if answer and is_delta else output
        return answer

    async def left_early(index):
        await asyncio.sleep(rng.uniform(0, 1))
        async for _ in llm.generate(*requests[index]):
            break

    async def everything():
        leavers = [left_early(rng.randrange(len(requests))) for _ in range(NUM_CANCELLED)]
        answers = await asyncio.gather(*map(whole, range(len(requests))), *leavers)
        return answers[: len(requests)]

    found = asyncio.run(everything())
    llm.shutdown()
    assert [i for i, one in enumerate(found) if not same(one, wanted[i])] == []
