"""`tapeout bench startup`: how long a process takes from its start to its first token.

Each run is a process of its own, which loads the artifact as `LLM` does.
"""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from signal import Signals
from typing import Any

import msgspec
from tqdm import tqdm

from ..errors import TapeoutError
from .checks import check_whole
from .limits import Limits
from .load import artifact_path
from .startup_process import CANNOT_LOAD, Startup, StartupSpec
from .startup_report import StartupReport

_MAX_COUNT = 1 << 24
_CODE = f"""
import time
began_s = time.monotonic()
from {__package__}.startup_process import main
main(began_s)
"""


class StartupOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How many processes are started. Raises InputError naming a bad value."""

    repeats: int = 3  # after the first

    def __post_init__(self) -> None:
        check_whole("repeats", self.repeats, 1, _MAX_COUNT)


def measure_startup(
    model: Path,
    asked: StartupOptions,
    options: Mapping[str, Any],
    load_format: str = "auto",
    shows_progress: bool = False,
) -> StartupReport:
    """Starts processes one after the other; `options` are arguments of `LLM`.

    A checkpoint is compiled before. Raises TapeoutError if a process cannot load the artifact.
    """
    Limits.among(options)  # refuses what it can before the work
    artifact = artifact_path(model, load_format, options.get("dtype", "auto"))
    count = 1 + asked.repeats
    with tqdm(total=count, desc="Processes", disable=not shows_progress) as bar:
        found = []
        for _ in range(count):
            found.append(_start(artifact, options))
            bar.update()
    first, *others = found
    others.sort(key=lambda startup: startup.run.total_s)
    median = others[(len(others) - 1) // 2]
    return StartupReport(
        target=first.target,
        num_repeats=asked.repeats,
        first=first.run,
        median=median.run,
        slowest_s=others[-1].run.total_s,
        device_bytes=median.device_bytes,
    )


def _start(artifact: Path, options: Mapping[str, Any]) -> Startup:
    """One process, to its end."""
    started_s = time.monotonic()
    spec = StartupSpec(artifact=str(artifact), options=dict(options), started_s=started_s)
    done = subprocess.run(
        [sys.executable, "-c", _CODE, msgspec.json.encode(spec)],
        stdout=subprocess.PIPE,
        process_group=0,  # a terminal's interrupt reaches this process alone, which ends the other
    )
    if done.returncode == CANNOT_LOAD:
        raise TapeoutError(done.stdout.decode())
    if done.returncode:
        raise TapeoutError(f"a process that loads {artifact} {_end(done.returncode)}")
    return msgspec.json.decode(done.stdout, type=Startup)


def _end(code: int) -> str:
    if code > 0:
        return f"ended with the exit code {code}"
    return f"was ended by {Signals(-code).name}; see whether memory ran out"
