"""How large the page of an artifact is, and how soon a browser has opened it.

python bench/inspect_page.py [--shape llama-3.1-70b] [--target cuda:sm_90]

The artifact is whole but for its weights, each of which has one element: the page shows none of
them. Needs Debian's chromium.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import click
import torch
from playwright.sync_api import sync_playwright
from report import report

from tapeout import api
from tapeout.artifact import PASSES, Artifact, encode
from tapeout.codegen.decisions import record_passes
from tapeout.codegen.triton.build import build_gpu_artifact
from tapeout.frontend.source import open_source
from tapeout.inspection.facts import facts_of
from tapeout.inspection.render_page import render_page
from tapeout.ir.types import TensorType
from tapeout.ir.weights import Weight

SHAPES = json.loads((Path(__file__).parent / "gpu_shapes.json").read_text())
MAX_MIB, MAX_OPEN_MS = 5, 2000
LOADED_MS = "performance.getEntriesByType('navigation')[0].loadEventEnd"


def build(shape: str, target: str, folder: Path) -> Path:
    """The artifact of a shape."""
    (folder / "config.json").write_text(json.dumps(SHAPES[shape] | {"dtype": "bfloat16"}))
    source = open_source(folder, "dummy")
    module, reports = api.lower(source, target=target)
    weights = {
        name: replace(weight, type=TensorType((1,), weight.type.dtype))
        for name, weight in module.weights.items()
    }
    return build_gpu_artifact(
        replace(module, weights=weights),
        api.describe_model(module, folder, source.config),
        api._tools(),
        _elements,
        folder / f"{shape}.tapeout",
        target,
        files={PASSES: encode(record_passes(reports))},
    )


def _elements(weights: Sequence[Weight]) -> Iterator[tuple[str, torch.Tensor]]:
    for weight in weights:
        for name, _ in weight.members():
            yield name, torch.zeros(weight.type.dtype.itemsize, dtype=torch.uint8)


def open_page(page: Path) -> list[float]:
    """Milliseconds from the address to the whole page, in browsers that have not seen it."""
    took_ms = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"))
        for _ in range(5):
            context = browser.new_context()
            opened = context.new_page()
            opened.goto(page.as_uri())
            took_ms.append(opened.evaluate(LOADED_MS))
            context.close()
        browser.close()
    return took_ms


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="llama-3.1-70b")
@click.option("--target", default="cuda:sm_90", show_default=True)
def main(shape: str, target: str) -> None:
    """Builds a shape, writes its page and opens it."""
    with TemporaryDirectory() as folder:
        artifact = Artifact.open(build(shape, target, Path(folder)))
        begun_s = time.monotonic()
        page = Path(folder) / "page.html"
        page.write_text(render_page(artifact, facts_of(artifact)))
        took_s = time.monotonic() - begun_s
        took_ms = open_page(page)
        row = {"layers": SHAPES[shape]["num_hidden_layers"], "write s": took_s}
        row |= {"MiB": page.stat().st_size / 2**20, "limit MiB": MAX_MIB}
        row |= {"open ms, first": took_ms[0], "worst": max(took_ms), "limit ms": MAX_OPEN_MS}
    report(f"inspect_page_{shape}", [row], shape=SHAPES[shape], target=target)


if __name__ == "__main__":
    main()
