"""How long a build takes, how much memory it needs, and whether two builds are byte-identical.

python bench/build_time.py [--shape 1b]
"""

import os
import shutil
from hashlib import file_digest
from pathlib import Path
from sys import executable
from tempfile import TemporaryDirectory

import click
from processes import Usage, run_watched
from report import BUILD, report
from safetensors import safe_open
from shapes import SHAPES, checkpoint_of


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = file_digest(file, "sha256").hexdigest()
    return found


def largest_tensor_bytes(checkpoint: Path) -> int:
    """Bytes of the checkpoint's largest tensor."""
    sizes = []
    for path in checkpoint.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            sizes += [file.get_tensor(name).nbytes for name in file.keys()]  # noqa: SIM118
    return max(sizes)


def build(checkpoint: Path, output: Path) -> tuple[Usage, dict[str, str]]:
    """Compiles once, with nothing left from builds before; gives usage and the files' digests."""
    shutil.rmtree(output, ignore_errors=True)
    command = [executable, "-m", "tapeout.cli", "compile", str(checkpoint), "-o", str(output)]
    with TemporaryDirectory() as cache:
        usage = run_watched(command, os.environ | {"TAPEOUT_CACHE": cache})
    return usage, digests(output)


@click.command()
@click.option("--shape", type=click.Choice(list(SHAPES)), default="1b")
def main(shape: str) -> None:
    """Builds a shape twice."""
    checkpoint = checkpoint_of(shape)
    limit_bytes = int(1.5 * 2**30) + 3 * largest_tensor_bytes(checkpoint)
    rows = []
    contents = []
    for name in ("first", "second"):
        usage, content = build(checkpoint, BUILD / f"{shape}-{name}.tapeout")
        contents.append(content)
        rows.append(
            {
                "build": name,
                "wall s": usage.wall_s,
                "peak resident GiB": usage.peak_resident_gib,
                "peak anonymous GiB": usage.peak_anonymous_bytes / 2**30,
                "limit GiB": limit_bytes / 2**30,
                "same bytes": content == contents[0],
            }
        )
    report(f"build_time_{shape}", rows, shape=SHAPES[shape])


if __name__ == "__main__":
    main()
