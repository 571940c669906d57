"""Decode steps and prompts of artifacts of the same weights, side by side on one card.

    PYTHONPATH=tests python bench/gpu_compare.py OLD NEW... [--anew] [--steps 8x128,32x2048]
        [--prompts 1x8192,8x2048]

For each: how far logits of decode steps are from the first artifact's, then what a step's graph
takes alone, and what prompts take to their first token. So a change of kernels is judged in one
run, whatever the card is that day.
"""

import gc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import torch
from device import require_gpu
from gpu import LENGTHS, LIMITS, Cases, decode, read_cases
from gpu_rows import Bench
from report import report
from steps import Steps

from tapeout import LLM
from tapeout.artifact import Artifact
from tapeout.artifact.tuning_table import Table
from tapeout.tuning.rebuild import rebuild

REPEATS = 4


def logits_of(artifact: Path) -> Any:
    """Of decode steps of five sequences, f32[rows, V]."""
    vocab_size, random = Artifact.open(artifact).manifest.model.vocab_size, np.random.default_rng(0)
    prompts = [random.integers(0, vocab_size, length).tolist() for length in LENGTHS]
    steps = Steps(artifact, kv_cache_bytes=1 << 30)
    try:
        return np.concatenate(decode(steps, prompts))
    finally:
        steps.close()
        gc.collect()
        torch.cuda.empty_cache()


def times_ms(artifact: Path, steps: Cases, prompts: Cases) -> dict[str, float]:
    """Milliseconds of a graph of each batch and context, the least of some runs, and of prompts."""
    llm = LLM(artifact, skip_tokenizer_init=True, enable_prefix_caching=False, **LIMITS)
    bench, found = Bench(llm, lambda batch: 0.0, 0, 1.0), {}
    for batch, context in steps:
        times = [bench.graph_s(batch, context) for _ in range(REPEATS)]
        found[f"{batch}x{context} ms"] = 1000 * min(times)
    for batch, context in prompts:
        [row] = bench.prefill_ms(batch, context)
        found[f"{row.what} ms"] = row.value
    llm._close()
    gc.unfreeze()
    return found


@click.command()
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--anew", is_flag=True, help="The first once more, with kernels of this tree.")
@click.option("--steps", default="1x128,8x128,32x128,64x128", help="Batch x context.")
@click.option("--prompts", default="", help="Batch x tokens.")
def main(artifacts: tuple[Path, ...], anew: bool, steps: str, prompts: str) -> None:
    """Prints a row for each artifact."""
    require_gpu()
    cases = read_cases(steps), read_cases(prompts)
    rows, wanted = [], logits_of(artifacts[0])
    with TemporaryDirectory(dir=artifacts[0].absolute().parent) as folder:
        others = [rebuild(artifacts[0], Path(folder) / "anew.tapeout", Table())] if anew else []
        for artifact in (*artifacts, *others):
            off = np.linalg.norm(logits_of(artifact) - wanted) / np.linalg.norm(wanted)
            row = {"artifact": artifact.name, "logits off": float(off)}
            rows.append(row | times_ms(artifact, *cases))
            print(rows[-1], flush=True)
    report("gpu-compare", rows, gpu=torch.cuda.get_device_name())


if __name__ == "__main__":
    main()
