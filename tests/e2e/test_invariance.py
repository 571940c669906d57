"""A request's logits are the same bits whatever else happens."""

import numpy as np
import pytest
from models import random_prompts, tiny_config
from steps import Sequence, Steps

MODELS = ["llama", "gemma2", "gpt2", "gpt_oss"]
every_model = pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name in MODELS for dtype in ("float32", "bfloat16")]
)
LENGTH = 45


@pytest.fixture
def open_steps(artifact_of):
    opened = []

    def open_steps(name, dtype, num_threads=1):
        opened.append(Steps(artifact_of(name, dtype), num_threads=num_threads))
        return opened[-1]

    yield open_steps
    for steps in opened:
        steps.close()


def prompt_and_others(name, num_others=32):
    lengths = [LENGTH, *(1 + 7 * index % 23 for index in range(num_others))]
    prompt, *others = random_prompts(tiny_config(name).vocab_size, lengths, seed=2)
    return prompt, others


@every_model
def test_logits_are_bitwise_equal_alone_and_among_32_others(name, dtype, open_steps):
    prompt, others = prompt_and_others(name)
    steps = open_steps(name, dtype)
    [alone] = steps.prefill([prompt])
    mixed = steps.prefill([*others[:16], prompt, *others[16:]])[16]
    assert np.array_equal(alone, mixed)


@every_model
def test_logits_are_bitwise_equal_in_one_and_in_several_chunks(name, dtype, open_steps):
    prompt, others = prompt_and_others(name, num_others=3)
    steps = open_steps(name, dtype)
    [whole] = steps.prefill([prompt])
    sequence, neighbour = Sequence(prompt), Sequence(others[0] * 8)
    chunks = [steps.run([neighbour, sequence], [1, n])[1] for n in (1, 16, 5, 1, LENGTH - 23)]
    assert np.array_equal(whole, np.concatenate(chunks))


@every_model
def test_logits_are_bitwise_equal_at_one_and_two_threads(name, dtype, open_steps):
    prompt, others = prompt_and_others(name)
    one = open_steps(name, dtype).prefill([prompt, *others])
    two = open_steps(name, dtype, num_threads=2).prefill([prompt, *others])
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@every_model
def test_decode_gives_the_bits_that_prefill_gives(name, dtype, open_steps):
    prompt, _ = prompt_and_others(name)
    steps = open_steps(name, dtype)
    [whole] = steps.prefill([prompt])
    sequence = Sequence(prompt)
    decoded = [steps.run([sequence], [1])[0] for _ in prompt]
    assert np.array_equal(whole, np.concatenate(decoded))
