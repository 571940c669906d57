"""The experts that a bench counts are those that transformers' routers choose."""

import sys
from pathlib import Path

import pytest
import torch
from models import load_reference, random_prompts, tiny_config

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("batch", [1, 3, 9])
def test_experts_that_a_step_reads_are_those_that_routers_choose(
    batch, checkpoint_of, artifact_of, monkeypatch
):
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    from experts_read import experts_read

    config = tiny_config("qwen3_moe")
    prompts = random_prompts(config.vocab_size, [5 + 2 * i for i in range(batch)])
    chosen = [set() for _ in range(config.num_hidden_layers)]
    model = load_reference(checkpoint_of("qwen3_moe"))
    for prompt in prompts:
        with torch.no_grad():
            scores = model(torch.tensor([prompt]), output_router_logits=True).router_logits
        for experts, rows in zip(chosen, scores, strict=True):
            experts |= set(rows[-1].topk(config.num_experts_per_tok).indices.tolist())
    assert experts_read(artifact_of("qwen3_moe"), prompts) == [len(found) for found in chosen]
