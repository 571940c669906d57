"""Models traced and raised to the level `model`, and the interpreter's logits of them."""

from functools import cache

import torch
from models import random_prompts, reference_logits, save_tiny, tiny_config

from tapeout.frontend.checkpoint import Checkpoint
from tapeout.frontend.trace import trace, trace_config
from tapeout.frontend.weights import stream_weights
from tapeout.ir.interpret import Interpreter
from tapeout.ir.types import DType
from tapeout.ir.verify import verify
from tapeout.passes.pipeline import CANONICALIZE, GPU_STAGES, RAISE
from tapeout.passes.run import run_stages

LENGTHS = (1, 7, 33)
"""Tokens of the packed sequences."""


def model_level(checkpoint, dtype=DType.F32):
    """The module of an opened checkpoint."""
    return run_stages(verify(trace(checkpoint, dtype)), (CANONICALIZE, RAISE))[0]


def lowered(config, dtype=DType.F32):
    """The module of a configuration alone."""
    return run_stages(verify(trace_config(config, dtype)), (CANONICALIZE, RAISE))[0]


@cache
def for_gpu(name):
    """A tiny model in bf16 after all passes for a GPU, and the passes' reports; made once."""
    return run_stages(verify(trace_config(tiny_config(name), DType.BF16)), GPU_STAGES)


def interpret(module, checkpoint, prompts):
    """Logits f32[tokens of all prompts, V] of the prompts packed in one step."""
    weights = {n: t.clone() for n, t in stream_weights(module.weights.values(), checkpoint)}
    lengths = [len(prompt) for prompt in prompts]
    total = sum(lengths)
    inputs = [
        sum(prompts, []),
        [place for length in lengths for place in range(length)],
        [sequence for sequence, length in enumerate(lengths) for _ in range(length)],
        list(range(total)),
    ]
    symbols = {"T": total, "R": total, "S": len(lengths)}
    arguments = [torch.tensor(values, dtype=torch.int32) for values in inputs]
    return Interpreter(module, weights, symbols).run("step", arguments)[0]


def largest_error(name, folder, **changes):
    """The largest relative distance of a row of logits from transformers', in fp32."""
    save_tiny(name, folder, **changes)
    checkpoint = Checkpoint.open(folder)
    module = model_level(checkpoint)
    prompts = random_prompts(module.attrs["vocab_size"], list(LENGTHS))
    wanted = torch.cat(reference_logits(folder, prompts))
    found = interpret(module, checkpoint, prompts)
    return float(((found - wanted).norm(dim=-1) / wanted.norm(dim=-1)).max())
