"""Speed beside transformers on CPU in bf16, both in one process, in turns.

    python bench/cpu_vs_transformers.py [--shape 135m] [--rounds 5]

Ratios are of medians over rounds; above 1 tapeout is faster. Decode is the time of a token after
the first, prefill the time to the first token of a prompt of 512.
"""

import os
import time
from collections.abc import Callable
from statistics import median

import click
import torch
from report import BUILD, report
from shapes import SHAPES, checkpoint_of
from transformers import AutoModelForCausalLM, PreTrainedModel

from tapeout import LLM, SamplingParams, compile_model

PROMPT_TOKENS, DECODE_TOKENS, PREFILL_TOKENS = 16, 32, 512
Prompts = list[list[int]]


def seconds(work: Callable[[], object]) -> float:
    """The wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Tapeout:
    """Our side."""

    def __init__(self, llm: LLM) -> None:
        self.llm = llm

    def _generate_s(self, prompts: Prompts, max_tokens: int) -> float:
        params = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
        inputs = [{"prompt_token_ids": prompt} for prompt in prompts]
        return seconds(lambda: self.llm.generate(inputs, params, use_tqdm=False))

    def prefill_s(self, prompts: Prompts) -> float:
        """Seconds to the first token."""
        return self._generate_s(prompts, 1)

    def decode_s(self, prompts: Prompts) -> float:
        """Seconds of one decode step."""
        short, long = self._generate_s(prompts, 1), self._generate_s(prompts, 1 + DECODE_TOKENS)
        return (long - short) / DECODE_TOKENS


class Transformers:
    """Their side: the model called directly, without the cost of `generate`."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    @torch.inference_mode()
    def prefill_s(self, prompts: Prompts) -> float:
        """Seconds to the first token."""
        ids = torch.tensor(prompts)
        return seconds(lambda: self.model(ids, use_cache=True, logits_to_keep=1).logits.argmax(-1))

    @torch.inference_mode()
    def decode_s(self, prompts: Prompts) -> float:
        """Seconds of one decode step."""
        out = self.model(torch.tensor(prompts), use_cache=True, logits_to_keep=1)
        ids, cache = out.logits.argmax(-1), out.past_key_values

        def decode() -> None:
            nonlocal ids
            for _ in range(DECODE_TOKENS):
                ids = self.model(ids, past_key_values=cache, use_cache=True).logits.argmax(-1)

        return seconds(decode) / DECODE_TOKENS


def prompts_of(batch: int, length: int, vocab_size: int, round_id: int) -> Prompts:
    """Other prompts in every round, so that nothing is answered from a cache."""
    generator = torch.Generator().manual_seed(round_id)
    return torch.randint(3, vocab_size, (batch, length), generator=generator).tolist()


def measure(ours: Tapeout, theirs: Transformers, vocab_size: int, rounds: int) -> list[dict]:
    """One row for each workload; the two sides take turns, after one round to warm up."""
    cases = {
        "decode, batch 1": ("decode_s", 1, PROMPT_TOKENS),
        "decode, batch 8": ("decode_s", 8, PROMPT_TOKENS),
        "prefill 512": ("prefill_s", 1, PREFILL_TOKENS),
    }
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in cases}
    for round_id in range(-1, rounds):
        for name, (method, batch, length) in cases.items():
            prompts = prompts_of(batch, length, vocab_size, round_id + 1)
            for side, side_times in zip((ours, theirs), times[name], strict=True):
                took_s = getattr(side, method)(prompts)
                if round_id >= 0:
                    side_times.append(took_s)
    return [_row(name, *sides) for name, sides in times.items()]


def _row(name: str, ours: list[float], theirs: list[float]) -> dict[str, object]:
    ratio = median(theirs) / median(ours)
    return {
        "workload": name,
        "tapeout ms": 1e3 * median(ours),
        "transformers ms": 1e3 * median(theirs),
        "ratio": ratio,
    }


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="135m")
@click.option("--rounds", default=5)
@click.option("--attention", type=click.Choice(["sdpa", "eager"]), default="sdpa")
@click.option("--threads", default=len(os.sched_getaffinity(0)), show_default="all cores")
def main(shape: str, rounds: int, attention: str, threads: int) -> None:
    """Compiles the shape and measures both sides."""
    torch.set_num_threads(threads)
    checkpoint, artifact = checkpoint_of(shape), BUILD / f"{shape}.tapeout"
    compile_model(checkpoint, artifact, dtype="bfloat16")
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.bfloat16, attn_implementation=attention
    )
    llm = LLM(artifact, skip_tokenizer_init=True, max_model_len=1024, num_threads=threads)
    vocab_size = SHAPES[shape]["vocab_size"]
    rows = measure(Tapeout(llm), Transformers(model.eval()), vocab_size, rounds)
    facts = {"shape": SHAPES[shape], "attention": attention, "threads": threads}
    report(f"cpu_vs_transformers_{shape}", rows, **facts)


if __name__ == "__main__":
    main()
