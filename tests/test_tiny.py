"""The first test to read: from a checkpoint to tokens, in a few seconds."""

import torch
from cpu import native_levels
from models import load_reference, save_tiny

from tapeout import LLM, SamplingParams, compile_model

PROMPT = [17, 4, 256, 99, 31]


def test_a_tiny_model_generates_the_tokens_that_transformers_generates(tmp_path):
    checkpoint = save_tiny("llama", tmp_path / "checkpoint")
    output = tmp_path / "model.tapeout"
    artifact = compile_model(checkpoint, output, cpu_levels=native_levels()[:1])
    llm = LLM(artifact, skip_tokenizer_init=True)
    params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
    [out] = llm.generate({"prompt_token_ids": PROMPT}, params, use_tqdm=False)

    assert out.outputs[0].token_ids == greedy(checkpoint, PROMPT, num_tokens=4)


def greedy(checkpoint, prompt, num_tokens):
    model, token_ids = load_reference(checkpoint), list(prompt)
    with torch.no_grad():
        for _ in range(num_tokens):
            token_ids.append(int(model(torch.tensor([token_ids])).logits[0, -1].argmax()))
    return token_ids[len(prompt) :]
