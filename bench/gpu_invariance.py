"""What batch invariance costs on a GPU: steps and a prefill, with it and without.

    PYTHONPATH=tests python bench/gpu_invariance.py [--shape llama-3.2-1b] [--record FILE]

Weights are random. Both artifacts are of one checkpoint; each is loaded and measured in turn.
"""

import gc
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import torch
from device import require_gpu
from gpu import SHAPES, TARGET, make_checkpoint
from gpu_rows import Bench, Row
from report import BUILD, report

from tapeout import LLM, compile_model

STEPS = [(1, 128), (1, 2048), (8, 128), (8, 2048), (64, 128), (64, 2048)]
PREFILLS = [(1, 1024), (1, 8192)]
OPTIONS = {"max_model_len": 9216, "max_num_seqs": 64, "max_num_batched_tokens": 8192}


def measured(artifact: Path) -> dict[str, float]:
    """Milliseconds of every step and prefill, by name."""
    llm = LLM(artifact, skip_tokenizer_init=True, enable_prefix_caching=False, **OPTIONS)
    bench = Bench(llm, lambda batch: 0.0, 0, 1.0)
    rows: list[Row] = []
    for batch, context in STEPS:
        rows += bench.step_ms(batch, context)[:1]
    for batch, context in PREFILLS:
        rows += bench.prefill_ms(batch, context)
    llm._close()
    gc.unfreeze()
    return {row.what: row.value for row in rows}


def compared(folder: Path, shape: str) -> list[dict[str, Any]]:
    """A row for each measurement: with, without, and the ratio."""
    checkpoint, found = make_checkpoint(shape, folder / "checkpoint"), []
    gc.collect()
    torch.cuda.empty_cache()
    for batch_invariant in (False, True):
        artifact = folder / f"{batch_invariant}.tapeout"
        compile_model(checkpoint, artifact, target=TARGET, batch_invariant=batch_invariant)
        found.append(measured(artifact))
    default, invariant = found
    return [
        {"what": what, "default ms": ms, "invariant ms": invariant[what], "x": invariant[what] / ms}
        for what, ms in default.items()
    ]


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="llama-3.2-1b")
@click.option("--record", type=click.Path(path_type=Path), help="Where the JSON goes besides.")
def main(shape: str, record: Path | None) -> None:
    """Measures one shape."""
    require_gpu()
    with TemporaryDirectory() as folder:
        rows = compared(Path(folder), shape)
    report(f"gpu-invariance-{shape}", rows, shape=shape, gpu=torch.cuda.get_device_name())
    if record is not None:
        shutil.copy(BUILD / f"gpu-invariance-{shape}.json", record)


if __name__ == "__main__":
    main()
