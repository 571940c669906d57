"""A crowd that does everything a client can do to a small engine; every token is checked."""

import asyncio
import random
from functools import cache

from fake_model import NAN_TOKEN, reference

from tapeout import AsyncLLM, RequestOutputKind, SamplingParams
from tapeout.errors import QueueFullError

PAGE_BYTES = 2 * 128
PROMPTS = [
    tuple((7 * i + 13 * salt + 1) % NAN_TOKEN for i in range(length))
    for salt in range(3)
    for length in (1, 15, 16, 17, 100)
]
ENDS = ["to the end", "to the end", "leaves", "is cancelled", "aborts", "has no time"]


@cache
def answer(prompt, num_tokens):
    return reference(prompt, num_tokens)


async def read(llm, chance, request_id, how):
    """Takes outputs, now and then slowly, and holds each to the reference; gives how it ended."""
    prompt, num_tokens = chance.choice(PROMPTS), chance.choice([1, 5, 40])
    kind = chance.choice(list(RequestOutputKind))
    params = SamplingParams(
        temperature=0,
        max_tokens=num_tokens,
        ignore_eos=True,
        output_kind=kind,
        logprobs=chance.choice([None, 1]),
        prompt_logprobs=chance.choice([None, None, 0]),
    )
    options = {"priority": chance.choice([0, 0, 1]), "tenant": chance.choice("ab")}
    options["timeout_s"] = 0.02 if how == "has no time" else None
    said, wanted = [], answer(prompt, num_tokens)
    async for output in llm.generate({"prompt_token_ids": prompt}, params, request_id, **options):
        [completion] = output.outputs
        if kind is not RequestOutputKind.DELTA:
            said.clear()
        said += completion.token_ids
        assert said == wanted[: len(said)]
        assert completion.finish_reason != "length" or said == wanted
        if how == "leaves" and chance.random() < 0.3:
            return "left"
        if chance.random() < 0.1:
            await asyncio.sleep(0.01)
    return completion.finish_reason


async def client(llm, seed, ends):
    chance = random.Random(seed)
    for turn in range(8):
        how, request_id = chance.choice(ENDS), f"{seed}-{turn}"
        reading = asyncio.ensure_future(read(llm, chance, request_id, how))
        if how in ("is cancelled", "aborts"):
            await asyncio.sleep(chance.random() * 0.03)
            reading.cancel() if how == "is cancelled" else await llm.abort(request_id)
        [end] = await asyncio.gather(reading, return_exceptions=True)
        if isinstance(end, BaseException):
            assert isinstance(end, (QueueFullError, asyncio.CancelledError)), repr(end)
            end = type(end).__name__
        ends.add(end)


def test_a_crowd_gets_right_answers_whatever_its_members_do(fake):
    async def main():
        options = {"max_num_seqs": 8, "max_num_batched_tokens": 24, "max_model_len": 160}
        llm = AsyncLLM(
            fake, kv_cache_bytes=10 * 2 * PAGE_BYTES, max_num_waiting=40, num_threads=1, **options
        )
        ends = set()
        async with llm:
            await asyncio.gather(*(client(llm, seed, ends) for seed in range(60)))
            while not llm.engine.is_idle:
                await asyncio.sleep(0.01)
            cache = llm.engine.scheduler.cache
            cache.check_integrity()
            assert cache.num_free_pages() == (llm.memory_plan.num_pages[0] - 1,)
            assert llm.engine.scheduler.num_preemptions > 0
        assert ends >= {"length", "left", "abort", "timeout", "CancelledError", "QueueFullError"}

    asyncio.run(main())
