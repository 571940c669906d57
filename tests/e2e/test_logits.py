"""Every supported architecture against transformers."""

import pytest
import torch
from cpu import native_levels
from models import (
    CONFIGS,
    load_reference,
    random_prompts,
    reference_logits,
    save_tiny,
    tiny_config,
)
from steps import Steps

from tapeout import LLM, SamplingParams, compile_model

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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_heads_with_norms_of_their_own_are_those_of_transformers(dtype, tmp_path, monkeypatch):
    fields = {"hidden_size": 96, "intermediate_size": 136, "num_hidden_layers": 2}
    fields |= {"num_attention_heads": 4, "num_key_value_heads": 2, "qk_layernorm": True}
    monkeypatch.setitem(CONFIGS, "stablelm", ("stablelm", fields | {"vocab_size": 131}))
    folder, prompts = save_tiny("stablelm", tmp_path / "checkpoint"), prompts_for("stablelm")
    output = tmp_path / "stablelm.tapeout"
    compile_model(folder, output, dtype=dtype, cpu_levels=native_levels()[:1])
    truth = reference_logits(folder, prompts)
    limit = MAX_RELATIVE_ERROR
    if dtype == "bfloat16":
        limit = MAX_BF16_RATIO * distance(reference_logits(folder, prompts, torch.bfloat16), truth)
    assert distance(logits_of(output, prompts), truth) <= limit


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
