"""Speed of an artifact after `tapeout tune`, beside the same before, on a CPU, in turns.

    python bench/tuned_cpu.py BEFORE AFTER [--rounds 15]

Ratios are medians of neighbours; above 1 the second artifact is faster. Decode is the time of a
token after the first, prefill the time to the first token of a prompt of 256.
"""

import time
from pathlib import Path
from statistics import median
from typing import Any

import click
from report import report

from tapeout import LLM, SamplingParams

WORKLOADS = {"decode": ((1, 4, 8, 16, 32), 16), "prefill": ((1,), 256)}
DECODE_TOKENS = 16


def generate_s(llm: LLM, batch: int, length: int, max_tokens: int) -> float:
    """Seconds of a batch of equal requests, each with a prompt of its own."""
    params = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
    prompts = [{"prompt_token_ids": [row + 3] * length} for row in range(batch)]
    started_s = time.perf_counter()
    llm.generate(prompts, params, use_tqdm=False)
    return time.perf_counter() - started_s


def work_s(llm: LLM, what: str, batch: int, length: int) -> float:
    """Seconds of a decode step, or to the first token."""
    first_s = generate_s(llm, batch, length, 1)
    if what == "prefill":
        return first_s
    return (generate_s(llm, batch, length, 1 + DECODE_TOKENS) - first_s) / DECODE_TOKENS


def taken_in_turns(models: list[LLM], number: int, *work: Any) -> list[float]:
    """Seconds on each model; every other round begins with the second."""
    order = (0, 1) if number % 2 else (1, 0)
    times = {place: work_s(models[place], *work) for place in order}
    return [times[0], times[1]]


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--rounds", default=15, show_default=True)
def main(before: Path, after: Path, rounds: int) -> None:
    """Times every workload on both artifacts in each round."""
    options = {"skip_tokenizer_init": True, "enable_prefix_caching": False, "max_num_seqs": 32}
    models = [LLM(path, **options) for path in (before, after)]
    rows = []
    for what, (batches, length) in WORKLOADS.items():
        for batch in batches:
            times = [
                taken_in_turns(models, number, what, batch, length) for number in range(rounds + 1)
            ][1:]
            rows.append(
                {
                    "workload": f"{what}, batch {batch}",
                    "before ms": median(first for first, _ in times) * 1e3,
                    "after ms": median(second for _, second in times) * 1e3,
                    "ratio": median(first / second for first, second in times),
                }
            )
    report("tuned_cpu", rows, before=before.name, after=after.name)


if __name__ == "__main__":
    main()
