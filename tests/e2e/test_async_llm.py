"""Streams over real kernels: whoever else is served, each is what offline generation gives."""

import asyncio
import random

import pytest

from tapeout import LLM, AsyncLLM, RequestOutputKind, SamplingParams

TEXTS = ["What is 3 + 4?", "Say hello.", "the cat", "a", "Abbreviate this: one two three four"]
FEATURES = {
    "top_k": 5,
    "top_p": 0.8,
    "min_p": 0.05,
    "presence_penalty": 0.7,
    "frequency_penalty": -0.4,
    "repetition_penalty": 1.3,
    "logprobs": 3,
    "prompt_logprobs": 2,
    "min_tokens": 4,
    "stop": ["e", "12"],
    "bad_words": ["the", "a b"],
    "logit_bias": {40: 3.0, 50: -3.0},
    "allowed_token_ids": list(range(5, 400, 2)),
}


def drawn(chance):
    fields = {name: value for name, value in FEATURES.items() if chance.random() < 0.3}
    fields["temperature"] = chance.choice([0, 0.7, 1.5])
    return chance.choice(TEXTS), {"seed": chance.randrange(9), "max_tokens": 20, **fields}


@pytest.fixture(scope="module")
def requests():
    chance = random.Random(11)
    return [drawn(chance) for _ in range(40)]


@pytest.fixture(scope="module")
def alone(nano, requests):
    """Each request's answer when nobody else is there."""
    llm = LLM(nano, num_threads=1, max_model_len=128, enable_prefix_caching=False)
    return [llm.generate(text, SamplingParams(**fields), False)[0] for text, fields in requests]


@pytest.mark.parametrize("kind", RequestOutputKind)
def test_a_stream_of_any_kind_is_the_answer_alone(nano, requests, alone, kind):
    async def streamed(llm, text, fields):
        params = SamplingParams(output_kind=kind, **fields)
        found = [output async for output in llm.generate(text, params)]
        joined = found[0]
        for output in found[1:]:
            joined = joined.extended(output) if kind is RequestOutputKind.DELTA else output
        return joined

    async def main():
        options = {"num_threads": 1, "max_model_len": 128, "max_num_batched_tokens": 48}
        async with AsyncLLM(nano, max_num_seqs=12, **options) as llm:
            found = await asyncio.gather(*(streamed(llm, *request) for request in requests))
        for output, wanted in zip(found, alone, strict=True):
            assert output.outputs == wanted.outputs
            assert output.prompt_logprobs == wanted.prompt_logprobs

    asyncio.run(main())
