"""How far logits are from transformers', for the tiny model of every architecture.

    PYTHONPATH=tests python bench/logits_vs_transformers.py [NAME...]

Prompts of 1, 7, 33 and 500 tokens in one packed step. fp32: the largest relative distance of a
row. bf16: the distance of all rows from transformers' fp32 logits, ours over transformers' own.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import torch
from cpu import native_levels
from models import CONFIGS, random_prompts, reference_logits, save_tiny, tiny_config
from report import report
from steps import Steps

from tapeout import compile_model

LENGTHS = [1, 7, 33, 500]


def measure(name: str, folder: Path) -> dict[str, object]:
    """One row of the table."""
    checkpoint = save_tiny(name, folder / "checkpoint")
    prompts = random_prompts(tiny_config(name).vocab_size, LENGTHS)
    truth = torch.cat(reference_logits(checkpoint, prompts))
    theirs = torch.cat(reference_logits(checkpoint, prompts, torch.bfloat16))
    fp32, bf16 = (_logits(checkpoint, dtype, prompts) for dtype in ("float32", "bfloat16"))
    error = ((fp32 - truth).norm(dim=-1) / truth.norm(dim=-1)).max()
    return {
        "model": name,
        "logits std": float(truth.std()),
        "fp32 error": float(error),
        "bf16 ours": _distance(bf16, truth),
        "bf16 theirs": _distance(theirs, truth),
        "bf16 ratio": _distance(bf16, truth) / _distance(theirs, truth),
    }


def _logits(checkpoint: Path, dtype: str, prompts: list[list[int]]) -> torch.Tensor:
    output = checkpoint.parent / f"{dtype}.tapeout"
    compile_model(checkpoint, output, dtype=dtype, cpu_levels=native_levels()[:1])
    steps = Steps(output)
    logits = torch.cat([torch.from_numpy(rows) for rows in steps.prefill(prompts)])
    steps.close()
    return logits


def _distance(found: torch.Tensor, truth: torch.Tensor) -> float:
    return float((found - truth).norm() / truth.norm())


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(CONFIGS)))
def main(names: tuple[str, ...]) -> None:
    """Measures the named models, or all."""
    rows = []
    for name in names or CONFIGS:
        with TemporaryDirectory() as folder:
            rows.append(measure(name, Path(folder)))
    report("logits_vs_transformers", rows)


if __name__ == "__main__":
    main()
