import pytest
import torch
from cpu import native_levels
from models import random_prompts, reference_logits, tiny_config
from steps import Steps

from tapeout import compile_model, settings

MODELS = ["llama", "gpt_oss"]


@pytest.fixture(scope="module", params=MODELS)
def model(request, checkpoint_of, tmp_path_factory):
    """A checkpoint, and an artifact of it with every level."""
    checkpoint = checkpoint_of(request.param)
    output = tmp_path_factory.mktemp("levels") / f"{request.param}.tapeout"
    return request.param, checkpoint, compile_model(checkpoint, output)


@pytest.mark.parametrize("level", native_levels())
def test_every_instruction_set_level_gives_the_logits_of_transformers(model, level):
    name, checkpoint, artifact = model
    prompts = random_prompts(tiny_config(name).vocab_size, [1, 40])
    wanted = torch.cat(reference_logits(checkpoint, prompts))
    with settings.CPU_LEVEL.override(level):
        steps = Steps(artifact)
    found = torch.cat([torch.from_numpy(rows) for rows in steps.prefill(prompts)])
    used = steps.loaded.executor.level
    steps.close()

    assert used == level
    assert float(((found - wanted).norm(dim=-1) / wanted.norm(dim=-1)).max()) <= 1e-5
