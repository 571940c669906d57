"""`tapeout tune`: searches for faster kernels; see `tuning/`."""

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import InputError

if TYPE_CHECKING:
    from .tuning.imported import Imported
    from .tuning.search import Progress

_PATH = click.Path(path_type=Path)
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}
_INTERRUPTED = 130


class _Duration(click.ParamType[float]):
    """Seconds, as `90`, `90s`, `5m` or `1h`."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Reads a text; a number is one already."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if found is None:
            self.fail(f"{value!r} is no duration; give 90s, 5m or 1h", param, ctx)
        return float(found[1]) * _UNITS_S[found[2]]


@click.command("tune")
@click.argument("artifact", type=_PATH)
@click.option(
    "--budget", "budget_s", type=_Duration(), default="5m", show_default=True, help="90s, 5m, 1h."
)
@click.option("-o", "--output", type=_PATH, help="A new artifact with what is found.")
@click.option("--export", type=_PATH, help="A table that takes in what is found.")
@click.option("--import", "imports", multiple=True, help="A table, or the name of one of ours.")
@click.option("--plot", type=_PATH, help="An SVG: time against share of the roofline.")
@click.option("--num-threads", type=int, help="Of a CPU. Default: one for each core.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def tune_command(artifact: Path, as_json: bool, **options: Any) -> None:
    """Search for faster kernels for exactly what is in ARTIFACT, on the device at hand.

    Ended early, by a signal or its budget, it goes on from there when it is called again.
    """
    started_s = time.monotonic()  # what is imported takes seconds
    from .runtime.progress import TerminalLine

    try:
        from .tuning.session import TuneOptions, tune
    except ModuleNotFoundError as error:
        raise InputError(
            f"tuning needs {error.name}, which is not installed; pip install 'tapeout[compile]'"
        ) from None

    line = TerminalLine()

    def note(imported: "Imported") -> None:
        line.close()
        click.echo(imported.text(), err=True)

    try:
        report = tune(
            artifact, TuneOptions(**options), lambda seen: line.show(_text(seen)), started_s, note
        )
    except KeyboardInterrupt:
        click.echo("\ninterrupted; the same command goes on from here", err=True)
        sys.exit(_INTERRUPTED)
    finally:
        line.close()
    if as_json:
        from msgspec.json import encode

        click.echo(encode(report).decode())
    else:
        click.echo(report.text())


def _text(progress: "Progress") -> str:
    return (
        f"{progress.elapsed_s:.0f} s, at most {progress.to_go_s:.0f} s to go: "
        f"{progress.num_timed} timed, best so far {progress.speedup:.3f}x, now {progress.name}"
    )
