"""Train tapeout-nano from nothing: generated data, its own tokenizer, one GPU, a few minutes.

    python -m examples.nano.train --output .build/nano
    python -m examples.nano.train --start .build/nano --output .build/nano-2
    python -m examples.nano.train --start .build/nano-2 --touch-up --output examples/nano/checkpoint

The first run learns the tasks in familiar words, the second goes on with unfamiliar ones, the third
with the same at a lower learning rate; it also teaches phrasings that were added later. Data and
initial weights are functions of the seed. What results is an ordinary Hugging Face checkpoint in
bfloat16.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from torch.optim import AdamW
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from .batches import BUCKETS, PAD_ID, Batch, Steps, load_steps
from .chat_format import TURN_END
from .tokenizer import VOCAB_SIZE, save_tokenizer, train_tokenizer

WARMUP_STEPS = 300
DECAY_SHARE = 0.5
PROBE_STEPS = 200


def build_model(eos_token_id: int) -> LlamaForCausalLM:
    """A fresh model of 5.2 M parameters."""
    torch.manual_seed(FIRST_PART.seed)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=max(bucket.length for bucket in BUCKETS),
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos_token_id,
        pad_token_id=PAD_ID,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


@dataclass(frozen=True)
class Part:
    """A part of the training: its data's seed and novelty, its steps and peak learning rate."""

    seed: int
    num_steps: int
    learning_rate: float
    novelty: float


FIRST_PART = Part(seed=0, num_steps=6376, learning_rate=2e-3, novelty=0.0)
SECOND_PART = Part(seed=1, num_steps=2115, learning_rate=1e-3, novelty=0.5)
TOUCH_UP = Part(seed=2, num_steps=1600, learning_rate=6e-4, novelty=0.5)


def learning_rate_factor(step: int, num_steps: int) -> float:
    """Linear warm-up, a plateau at 1, and over the last part a straight line down to 0."""
    warmup = (step + 1) / WARMUP_STEPS
    decay = (num_steps - step) / (DECAY_SHARE * num_steps)
    return min(1.0, warmup, decay)


def batch_loss(model: LlamaForCausalLM, batch: Batch, device: str) -> torch.Tensor:
    """Sum of the cross entropies of the tokens that the model is to write."""
    with torch.autocast(device, dtype=torch.bfloat16):
        hidden = model.model(input_ids=batch.token_ids).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[batch.positions])
    return functional.cross_entropy(logits.float(), batch.targets, reduction="sum")


def make_optimizer(model: LlamaForCausalLM, device: str) -> AdamW:
    """AdamW that decays matrices alone."""
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    vectors = [weight for weight in model.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return AdamW(groups, betas=(0.9, 0.98), fused=device == "cuda")


def train(model: LlamaForCausalLM, part: Part, args: argparse.Namespace) -> None:
    """Run every step of a part, or as many as the minutes allow."""
    num_steps = part.num_steps
    steps = Steps(args.output / "tokenizer.json", part.seed, num_steps, part.novelty, args.shrink)
    started = probe_started = time.monotonic()
    optimizer = make_optimizer(model, args.device)
    for step, batches in enumerate(load_steps(steps, args.workers)):
        for group in optimizer.param_groups:
            group["lr"] = part.learning_rate * learning_rate_factor(step, num_steps)
        loss = train_step(model, optimizer, batches, args.device)
        if step % 100 == 0:
            elapsed_s = time.monotonic() - started
            print(f"step {step:6d}  loss {loss.item():.4f}  {elapsed_s:6.1f} s", flush=True)
        if step == PROBE_STEPS // 2:
            probe_started = time.monotonic()
        if step == PROBE_STEPS:
            step_s = (time.monotonic() - probe_started) / (PROBE_STEPS - PROBE_STEPS // 2)
            left_s = 60 * args.max_minutes - (time.monotonic() - started)
            num_steps = min(num_steps, step + int(left_s / step_s))
            print(f"{num_steps} steps of {1000 * step_s:.0f} ms", flush=True)
        if step + 1 >= num_steps:
            break


def train_step(
    model: LlamaForCausalLM, optimizer: AdamW, batches: list[Batch], device: str
) -> torch.Tensor:
    """One update from the batches of all buckets; the mean loss per token written."""
    num_targets = sum(len(batch.targets) for batch in batches)
    total = torch.zeros((), device=device)
    for batch in batches:
        loss = batch_loss(model, batch.to(device), device) / num_targets
        loss.backward()
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Write weights in bfloat16, `config.json` and `generation_config.json`."""
    model.config.use_cache = True
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=PAD_ID,
        max_new_tokens=256,
    )
    model.to(torch.bfloat16).save_pretrained(folder)


def start_from_nothing(folder: Path) -> LlamaForCausalLM:
    """A new tokenizer, written to the folder, and a model with random weights."""
    tokenizer = train_tokenizer(FIRST_PART.seed)
    save_tokenizer(tokenizer, folder)
    eos_token_id = tokenizer.token_to_id(TURN_END)
    assert eos_token_id is not None, "the tokenizer was trained without its end token"
    return build_model(eos_token_id)


def start_from_checkpoint(start: Path, folder: Path) -> LlamaForCausalLM:
    """The model of a checkpoint in float32, and its tokenizer copied to the folder."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(start / name, folder / name)
    model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    model.config.use_cache = False
    return model.train()


def main() -> None:
    """Train one part and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from: the second part")
    parser.add_argument("--touch-up", action="store_true", help="with --start: the third part")
    parser.add_argument("--max-minutes", type=float, default=60, help="run fewer steps if need be")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shrink", type=int, default=1, help="divide the rows of a step")
    args = parser.parse_args()
    if args.touch_up and not args.start:
        parser.error("--touch-up needs --start")

    args.output.mkdir(parents=True, exist_ok=True)
    if args.start:
        part = TOUCH_UP if args.touch_up else SECOND_PART
        model = start_from_checkpoint(args.start, args.output)
    else:
        part, model = FIRST_PART, start_from_nothing(args.output)
    model.to(args.device)
    print(f"{sum(weight.numel() for weight in model.parameters()):,} parameters", flush=True)
    if args.device == "cuda":
        torch.set_float32_matmul_precision("high")
        for layer in model.model.layers:
            layer.compile(dynamic=False)
    train(model, part, args)
    save_model(model, args.output)


if __name__ == "__main__":
    main()
