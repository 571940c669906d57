"""With batch invariance a request has the same bits on a GPU whatever else happens."""

import numpy as np
import pytest
from models import random_prompts, tiny_config
from steps import Sequence, Steps

from tapeout import LLM, SamplingParams

pytestmark = pytest.mark.gpu

MODELS = ["llama", "qwen3", "gemma2", "qwen3_moe", "gpt_oss"]
LENGTH = 330  # more than a part of a context
NUM_DECODED = 3
CHUNKINGS = {  # of the prompt; with neighbours of a token each, steps of every variant
    "whole": [LENGTH],
    "in two": [300, 30],
    "odd": [1, 16, 5, 1, 64, 170, 2, 71],
    "ends in decode steps": [LENGTH - 12, *[1] * 12],
}
BATCHES = [1, 2, 5, 16, 20, 33, 64, 100, 256]


@pytest.fixture
def steps_of(invariant_artifact_of):
    opened = []

    def steps_of(name):
        sizes = {"max_num_tokens": 1024, "kv_cache_bytes": 512 << 20, "max_num_seqs": 260}
        opened.append(Steps(invariant_artifact_of(name), **sizes))
        return opened[-1]

    yield steps_of
    for steps in opened:
        steps.close()


def prompt_and_others(name, num_others):
    lengths = [LENGTH, *(1 + 7 * index % 23 for index in range(num_others))]
    prompt, *others = random_prompts(tiny_config(name).vocab_size, lengths, seed=2)
    return prompt, others


@pytest.mark.parametrize("name", MODELS)
def test_row_is_bitwise_equal_for_every_batch_chunking_and_bucket(name, steps_of):
    prompt, others = prompt_and_others(name, 255)
    steps = steps_of(name)
    [alone] = steps.prefill([prompt])
    different = []
    for what, counts in CHUNKINGS.items():
        for num_others in (0, 3, 40):
            rows = chunked(steps, prompt, counts, others[:num_others])
            if not np.array_equal(rows, alone):
                different.append((what, num_others))
    for batch in BATCHES:
        rows = decoded(steps, prompt, others[: batch - 1])
        if not np.array_equal(rows, alone[-NUM_DECODED:]):
            different.append(("decode", batch))
    assert different == []


def chunked(steps, prompt, counts, others):
    """The logits of a prompt in chunks, the first and the last beside whole prompts."""
    sequence, rows = Sequence(prompt), []
    for place, count in enumerate(counts):
        beside = others if place in (0, len(counts) - 1) else []
        step = [Sequence(other) for other in beside]
        found = steps.run([*step, sequence], [*(len(s.token_ids) for s in step), count])
        rows.append(found[-1])
    return np.concatenate(rows)


def decoded(steps, prompt, others):
    """The logits of a prompt's last tokens, one a step, beside those of others."""
    sequences = [Sequence([*other, *other, *other]) for other in others] + [Sequence(prompt)]
    for start in range(0, len(sequences), 16):
        some = sequences[start : start + 16]
        steps.run(some, [len(s.token_ids) - NUM_DECODED for s in some])
    batch = sequences if len(sequences) % 2 else sequences[::-1]
    found = [steps.run(batch, [1] * len(batch)) for _ in range(NUM_DECODED)]
    return np.concatenate([rows[batch.index(sequences[-1])] for rows in found])


@pytest.mark.parametrize("name", MODELS)
def test_a_request_says_the_same_alone_and_in_a_crowd_from_graphs_and_tapes(
    name, invariant_artifact_of
):
    prompt, others = prompt_and_others(name, 20)
    greedy = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, logprobs=5)
    drawn = SamplingParams(temperature=1.0, top_p=0.9, seed=7, max_tokens=24, ignore_eos=True)
    said = []
    for eager, limit, crowd in ((False, 512, []), (True, 64, others), (False, 40, others)):
        options = {"max_num_seqs": 24, "max_model_len": 512, "max_num_batched_tokens": limit}
        llm = LLM(
            invariant_artifact_of(name), skip_tokenizer_init=True, enforce_eager=eager, **options
        )
        prompts = [{"prompt_token_ids": tokens} for tokens in (prompt, prompt, *crowd)]
        params = [greedy, drawn, *[greedy] * len(crowd)]
        outputs = llm.generate(prompts, params, use_tqdm=False)[:2]
        said.append([(o.outputs[0].token_ids, logprobs_of(o)) for o in outputs])
        llm._close()
    assert said[1:] == said[:1] * 2


def logprobs_of(output):
    entries = output.outputs[0].logprobs or []
    return [{token: found.logprob for token, found in sorted(e.items())} for e in entries]
