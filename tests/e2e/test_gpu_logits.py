"""Tiny models on a GPU against transformers, in prefill, decode and mixed steps."""

from functools import cache

import numpy as np
import pytest
import torch
from models import CONFIGS, load_reference, random_prompts, tiny_config
from steps import Sequence, Steps

from tapeout import LLM, SamplingParams

pytestmark = pytest.mark.gpu

LENGTHS = [1, 7, 33, 500]
MAX_BF16_RATIO = 1.5
architectures = pytest.mark.parametrize("name", CONFIGS)


@cache
def reference_logits(checkpoint, lengths, dtype):
    """transformers' logits of prompts of those lengths, computed on the GPU."""
    model = load_reference(checkpoint, dtype).cuda()
    prompts = random_prompts(model.config.vocab_size, list(lengths))
    with torch.no_grad():
        rows = [model(torch.tensor([p], device="cuda")).logits[0].float().cpu() for p in prompts]
    return torch.cat(rows)


def ratio(name, checkpoint_of, ours, first=0):
    """How much further from the truth we are than transformers' own bf16, from a prompt on."""
    checkpoint, skipped = checkpoint_of(name), sum(LENGTHS[:first])
    truth, theirs = (
        reference_logits(checkpoint, tuple(LENGTHS), dtype)[skipped:]
        for dtype in (torch.float32, torch.bfloat16)
    )
    ours = torch.from_numpy(np.concatenate(ours))
    assert torch.isfinite(ours).all()
    return float((ours - truth).norm() / (theirs - truth).norm())


def sequences_for(name):
    return [Sequence(p) for p in random_prompts(tiny_config(name).vocab_size, LENGTHS)]


@architectures
def test_a_packed_prefill_is_near_the_truth(name, checkpoint_of, gpu_artifact_of):
    sequences, steps = sequences_for(name), Steps(gpu_artifact_of(name))
    ours = steps.run(sequences, LENGTHS)
    steps.close()
    assert ratio(name, checkpoint_of, ours) <= MAX_BF16_RATIO


@architectures
@pytest.mark.parametrize("num_copies", [1, 3, 10])
def test_decode_steps_are_near_the_truth(name, checkpoint_of, gpu_artifact_of, num_copies):
    """Every sequence token by token at its end, in batches that take different tapes."""
    batch = [s for _ in range(num_copies) for s in sequences_for(name)[1:]]
    steps = Steps(gpu_artifact_of(name), max_num_tokens=1024 * num_copies)
    ends = [len(s.token_ids) - 5 for s in batch]
    rows = [[part] for part in _in_parts(steps, batch, ends)]
    for _ in range(5):
        for kept, logits in zip(rows, steps.run(batch, [1] * len(batch)), strict=True):
            kept.append(logits)
    steps.close()
    for copy in range(num_copies):
        ours = [np.concatenate(kept) for kept in rows[copy * 3 : copy * 3 + 3]]
        assert ratio(name, checkpoint_of, ours, first=1) <= MAX_BF16_RATIO


def _in_parts(steps, batch, counts):
    """One sequence a step: all of them at once are too many tokens."""
    return [steps.run([s], [n])[0] for s, n in zip(batch, counts, strict=True)]


@architectures
def test_chunks_and_decode_rows_mix(name, checkpoint_of, gpu_artifact_of):
    sequences, steps = sequences_for(name), Steps(gpu_artifact_of(name))
    first = steps.run(sequences[1:], [6, 20, 301])
    second = steps.run(sequences, [1, 1, 13, 199])
    steps.close()
    ours = [second[0], *map(np.concatenate, zip(first, second[1:], strict=True))]
    assert ratio(name, checkpoint_of, ours) <= MAX_BF16_RATIO


@architectures
def test_graphs_say_what_tapes_say(name, gpu_artifact_of):
    vocab_size = tiny_config(name).vocab_size
    prompts = random_prompts(vocab_size, [1, 7, 33, 100, 5])
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, logprobs=5)
    said = []
    for enforce_eager in (False, True):
        llm = LLM(
            gpu_artifact_of(name),
            skip_tokenizer_init=True,
            max_num_seqs=8,
            max_model_len=256,
            enforce_eager=enforce_eager,
        )
        inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
        outputs = llm.generate(inputs, params, use_tqdm=False)
        said.append([(o.outputs[0].token_ids, _top(o.outputs[0].logprobs)) for o in outputs])
        llm._close()
    assert said[0] == said[1]


def _top(logprobs):
    return [{i: v.logprob for i, v in sorted(entry.items())} for entry in logprobs]
