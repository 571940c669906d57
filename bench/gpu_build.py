"""How long all but the weights of an artifact for a GPU takes to build, and how much memory.

python bench/gpu_build.py [--shape llama-3.1-8b] [--target cuda:sm_90]
"""

import json
import os
from pathlib import Path
from sys import executable
from tempfile import TemporaryDirectory

import click
from build_time import digests
from processes import run_watched
from report import report

SHAPES = json.loads((Path(__file__).parent / "gpu_shapes.json").read_text())
MAX_S, MAX_GIB = 120, 2  # llama-3.1-8b for sm_90 on two cores
_BUILD = """
import sys
from dataclasses import replace
from pathlib import Path
from tapeout import api
from tapeout.codegen.triton.build import build_gpu_artifact
from tapeout.frontend.source import open_source

folder, output, target = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
source = open_source(folder, "dummy")
module, _ = api.lower(source, target=target)
model = api.describe_model(module, folder, source.config)
bare = replace(module, weights={})
build_gpu_artifact(bare, model, api._tools(), lambda weights: iter(()), output, target)
"""


def build(shape: str, target: str, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Builds with nothing left from builds before; gives what it took, and the files' digests."""
    checkpoint, output = folder / "checkpoint", folder / "model.tapeout"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text(json.dumps(SHAPES[shape] | {"dtype": "bfloat16"}))
    environment = os.environ | {"TAPEOUT_CACHE": str(folder / "cache")}
    command = [executable, "-c", _BUILD, str(checkpoint), str(output), target]
    usage = run_watched(command, environment)
    num_kernels = sum(1 for _ in (output / "kernels").glob("*/*.*"))
    row = {"wall s": usage.wall_s, "limit s": MAX_S, "peak resident GiB": usage.peak_resident_gib}
    return row | {"limit GiB": MAX_GIB, "kernels": num_kernels}, digests(output)


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="llama-3.1-8b")
@click.option("--target", default="cuda:sm_90", show_default=True)
def main(shape: str, target: str) -> None:
    """Builds a shape twice."""
    rows, contents = [], []
    for name in ("first", "second"):
        with TemporaryDirectory() as folder:
            row, content = build(shape, target, Path(folder))
        contents.append(content)
        rows.append({"build": name, **row, "same bytes": content == contents[0]})
    report(f"gpu_build_{shape}", rows, shape=SHAPES[shape], target=target)


if __name__ == "__main__":
    main()
