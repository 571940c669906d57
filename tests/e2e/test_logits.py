"""Every supported architecture against transformers."""

import pytest
import torch
from models import CONFIGS, load_reference, random_prompts, reference_logits, tiny_config
from steps import Steps

from tapeout import LLM, SamplingParams

LENGTHS = [1, 7, 33, 500]
MAX_RELATIVE_ERROR = 1e-5
MAX_BF16_RATIO = 1.5
NUM_FORCED_TOKENS = 64
MAX_REGRET = 1e-4

architectures = pytest.mark.parametrize("name", CONFIGS)


def prompts_for(name):
    return random_prompts(tiny_config(name).vocab_size, LENGTHS)


def logits_of(artifact, prompts):
    steps = Steps(artifact)
    try:
        return [torch.from_numpy(rows) for rows in steps.prefill(prompts)]
    finally:
        steps.close()


def distance(found, wanted):
    """The distance of all rows of all prompts together, relative to their norm."""
    found, wanted = torch.cat(found), torch.cat(wanted)
    return float((found - wanted).norm() / wanted.norm())


@architectures
def test_logits_of_a_packed_step_are_those_of_transformers(name, checkpoint_of, artifact_of):
    prompts = prompts_for(name)
    wanted = reference_logits(checkpoint_of(name), prompts)
    found = logits_of(artifact_of(name), prompts)

    assert min(float(rows.std()) for rows in wanted) >= 1
    errors = [(f - w).norm(dim=-1) / w.norm(dim=-1) for f, w in zip(found, wanted, strict=True)]
    assert max(float(rows.max()) for rows in errors) <= MAX_RELATIVE_ERROR


@architectures
def test_bf16_is_no_further_from_the_truth_than_transformers(name, checkpoint_of, artifact_of):
    prompts = prompts_for(name)
    truth = reference_logits(checkpoint_of(name), prompts)
    theirs = reference_logits(checkpoint_of(name), prompts, torch.bfloat16)
    ours = logits_of(artifact_of(name, "bfloat16"), prompts)

    assert distance(ours, truth) <= MAX_BF16_RATIO * distance(theirs, truth)


@architectures
def test_every_generated_token_is_the_best_one_of_transformers(name, checkpoint_of, artifact_of):
    prompt = random_prompts(tiny_config(name).vocab_size, [20], seed=1)[0]
    token_ids = generate(artifact_of(name), prompt)
    with torch.no_grad():
        wanted = load_reference(checkpoint_of(name))(torch.tensor([token_ids])).logits[0]
    candidates, chosen = wanted[len(prompt) - 1 : -1], torch.tensor(token_ids[len(prompt) :])
    regret = candidates.amax(-1) - candidates[torch.arange(len(chosen)), chosen]
    assert float(regret.max()) <= MAX_REGRET


def generate(artifact, prompt):
    """The prompt and the tokens chosen greedily after it."""
    llm = LLM(artifact, skip_tokenizer_init=True, max_model_len=128, num_threads=1)
    params = SamplingParams(temperature=0, max_tokens=NUM_FORCED_TOKENS, ignore_eos=True)
    [out] = llm.generate({"prompt_token_ids": prompt}, params, use_tqdm=False)
    return prompt + out.outputs[0].token_ids
