"""A request's logits, tokens and logprobs are the same bits as alone, whatever happens around it.

Every row of every step is compared, whoever's it is. What no step has written is poisoned, so a
read of it shows too.
"""

import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from compared import Compared, alone
from mixed_requests import PAGE_SIZE_TOKENS, mixed_requests, plain_request
from random_batches import run_random_batch
from recorder import Recorder
from restarted import digest

TESTS = Path(__file__).parents[1]
ALWAYS = [("llama", "float32"), ("gemma2", "bfloat16"), ("qwen3_moe", "float32")]
SLOW = [
    ("llama", "bfloat16"),
    ("gemma2", "float32"),
    ("qwen3_moe", "bfloat16"),
    *((name, dtype) for name in ("qwen3", "gpt_oss", "gpt2") for dtype in ("float32", "bfloat16")),
    ("mistral", "float32"),
    ("nano", "bfloat16"),
]
NUM_BATCHES = 1000
CHUNKS = [1, 7, 64, 512]
LENGTH_OF_SHORT = 12  # and 8 of output: it goes over the end of a page
depths = pytest.mark.parametrize("depth", [0, 1])


@pytest.fixture(
    scope="module",
    params=[*ALWAYS, *(pytest.param(model, marks=pytest.mark.slow) for model in SLOW)],
    ids="-".join,
)
def artifact(request, artifact_of):
    name, _ = request.param
    return request.getfixturevalue("nano") if name == "nano" else artifact_of(*request.param)


@pytest.fixture(scope="module")
def recorder(artifact):
    recorder = Recorder(artifact)
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def alone_once(recorder):
    """The request alone, computed once for all tests of a model."""
    return cache(lambda make: {r.request_id: alone(recorder, r) for r in make(recorder)})


def everyone(recorder):
    return mixed_requests(recorder.model.vocab_size)


def prompts(recorder, *lengths):
    rng = random.Random(5)
    words = range(3, recorder.model.vocab_size)
    return [rng.choices(words, k=length) for length in lengths]


def over_a_page(recorder):
    first, second = prompts(recorder, 12, 9)
    return [plain_request("first", first, 8), plain_request("second", second, 20)]


def over_a_window(recorder):
    first, second = prompts(recorder, 60, 9)
    return [plain_request("first", first, 8), plain_request("second", second, 60)]


lengths = pytest.mark.parametrize(
    "make", [over_a_page, pytest.param(over_a_window, marks=pytest.mark.slow)]
)


def long(recorder):
    first, second = prompts(recorder, 530, 40)
    return [
        plain_request("long", first, 8, num_prompt_logprobs=2),
        plain_request("second", second, 12),
    ]


def test_requests_of_all_kinds_alone_and_all_together(recorder, alone_once):
    wanted = alone_once(everyone)
    for name in wanted:
        loop = Compared(recorder, wanted)
        loop.add(wanted[name].request)
        loop.run()
    loop = Compared(recorder, wanted, depth=1, max_num_seqs=16)
    for one in wanted.values():
        loop.add(one.request)
    loop.run()
    assert len(loop.finished) == len(wanted)


@pytest.mark.parametrize("num_batches", [20, pytest.param(NUM_BATCHES, marks=pytest.mark.slow)])
def test_in_random_batches(recorder, alone_once, num_batches):
    wanted = alone_once(everyone)
    loops = [run_random_batch(recorder, wanted, seed) for seed in range(num_batches)]
    assert sum(loop.scheduler.num_preemptions for loop in loops) > num_batches / 10


@depths
@pytest.mark.parametrize("chunk", CHUNKS)
def test_in_chunks(recorder, alone_once, chunk, depth):
    wanted = alone_once(long)
    for names in (["long"], ["second", "long"]):
        num_seqs = min(len(names), chunk)
        loop = Compared(recorder, wanted, depth, num_seqs, chunk)
        for name in names:
            loop.add(wanted[name].request)
        loop.run()
        assert loop.num_rows >= 530


@depths
@pytest.mark.parametrize("num_pages", [1, 3])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_after_a_prefix_hit_around_a_page_border(recorder, alone_once, num_pages, beside, depth):
    num_shared = num_pages * PAGE_SIZE_TOKENS + beside
    num_hit = num_shared // PAGE_SIZE_TOKENS * PAGE_SIZE_TOKENS
    hit_and_compare(recorder, alone_once(of_four_pages)["probe"], num_shared, num_hit, depth)


@depths
@pytest.mark.parametrize("name", ["probe", "a token more", "a token less"])
def test_after_a_full_prefix_hit(recorder, alone_once, name, depth):
    probe = alone_once(of_four_pages)[name]
    length = len(probe.request.prompt_token_ids)
    num_hit = (length - 1) // PAGE_SIZE_TOKENS * PAGE_SIZE_TOKENS
    hit_and_compare(recorder, probe, length, num_hit, depth)


def of_four_pages(recorder):
    [prompt] = prompts(recorder, 4 * PAGE_SIZE_TOKENS + 1)
    lengths = {"probe": -1, "a token more": None, "a token less": -2}
    return [plain_request(name, prompt[:end], 8) for name, end in lengths.items()]


def hit_and_compare(recorder, probe, num_shared, num_hit, depth):
    """Another request leaves the first `num_shared` tokens in the cache, in two ways."""
    prompt = probe.request.prompt_token_ids.tolist()
    others = [3 + (token_id + 1) % 100 for token_id in prompt[num_shared:]]
    donor = alone(recorder, plain_request("donor", prompt[:num_shared] + others, 20))
    for num_steps in (3, 40):  # the donor still runs, or has ended
        wanted = {"probe": probe, "donor": donor}
        loop = Compared(recorder, wanted, depth, max_num_batched_tokens=128)
        loop.add(donor.request)
        for _ in range(num_steps):
            loop.step()
        loop.add(probe.request, "probe")
        loop.run()
        assert loop.finished["probe"].num_cached_tokens == num_hit


@depths
def test_after_a_hit_of_pages_that_hold_another_requests_output(recorder, depth):
    [prompt] = prompts(recorder, 20)
    first = alone(recorder, plain_request("first", prompt, 40))
    longer = [*prompt, *first.finished.token_ids]
    wanted = {"first": first, "second": alone(recorder, plain_request("second", longer, 8))}
    loop = Compared(recorder, wanted, depth)
    for name in wanted:
        loop.add(wanted[name].request)
        loop.run()
    assert loop.finished["second"].num_cached_tokens == 48


@depths
@lengths
@pytest.mark.parametrize("keeps_cache", [True, False])
def test_preempted_at_every_token(recorder, alone_once, make, keeps_cache, depth):
    for loop in interrupted(recorder, alone_once(make), keeps_cache, depth):
        assert loop.preempt("first")
        loop.run()
        assert loop.scheduler.num_preemptions == 1


@depths
@lengths
def test_the_executor_loses_its_memory_at_every_token(recorder, alone_once, make, depth):
    for loop in interrupted(recorder, alone_once(make), True, depth):
        loop.lose_steps()
        loop.run()


def interrupted(recorder, wanted, keeps_cache, depth):
    """Loops over two requests, each where the first has one token more than in the loop before.

    Prompts advance by one token a step.
    """
    first = wanted["first"]
    most = len(first.request.prompt_token_ids) + len(first.finished.token_ids)
    for num_tokens in range(1, most):
        loop = Compared(recorder, wanted, depth, 2, 2, enable_prefix_caching=keeps_cache)
        for one in wanted.values():
            loop.add(one.request)
        while loop.num_computed("first") < num_tokens:
            loop.step()
        yield loop


@depths
def test_beside_a_request_whose_values_are_no_numbers_and_after_it(recorder, alone_once, depth):
    wanted = alone_once(of_four_pages)
    others = alone_once(over_a_page)
    loop = Compared(recorder, wanted | others, depth)
    for request_id in ("probe", "first", "second"):
        loop.add(loop.wanted[request_id].request)
    for _ in range(5):
        loop.step()
    num_sound = loop.break_cache("probe")
    loop.run()
    assert loop.finished["probe"].finish_reason == "numeric_error"
    loop.add(wanted["probe"].request, "probe/again")
    loop.run()
    assert loop.finished["probe/again"].num_cached_tokens <= num_sound


@pytest.mark.parametrize("num_batches", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_on_two_threads(artifact, recorder, alone_once, num_batches):
    threaded = Recorder(artifact, num_threads=2)
    wanted = alone_once(everyone)
    for seed in range(num_batches):
        run_random_batch(threaded, wanted, seed)
    loop = Compared(threaded, alone_once(long), 1, 2, 64)
    for one in loop.wanted.values():
        loop.add(one.request)
    loop.run()
    threaded.close()


def test_after_a_restart_in_another_process(artifact):
    command = [sys.executable, TESTS / "restarted.py", str(artifact)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(artifact)]
