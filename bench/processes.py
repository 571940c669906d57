"""Runs a command and watches the memory of it and of all processes it starts."""

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_INTERVAL_S = 0.02
_FIELDS = ("VmRSS", "RssAnon", "RssFile")


@dataclass(frozen=True)
class Usage:
    """Wall time of a command and the peaks, over time, of sums over its process tree."""

    wall_s: float
    peak_resident_bytes: int
    peak_anonymous_bytes: int  # what is not backed by a file

    @property
    def peak_resident_gib(self) -> float:
        """The peak of all resident memory, mapped files included."""
        return self.peak_resident_bytes / 2**30


def run_watched(command: list[str], environment: Mapping[str, str]) -> Usage:
    """Runs a command to its end. Raises CalledProcessError when it fails."""
    start = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, env=dict(environment))
    resident = anonymous = 0
    while process.poll() is None:
        memory = _tree_memory(process)
        resident, anonymous = max(resident, memory["VmRSS"]), max(anonymous, memory["RssAnon"])
        time.sleep(_INTERVAL_S)
    wall_s = time.perf_counter() - start
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Usage(wall_s, resident, anonymous)


def _tree_memory(process: psutil.Process) -> dict[str, int]:
    total = dict.fromkeys(_FIELDS, 0)
    with suppress(psutil.Error):
        for member in (process, *process.children(recursive=True)):
            for name, size in _memory_of(member.pid).items():
                total[name] += size
    return total


def _memory_of(pid: int) -> dict[str, int]:
    with suppress(OSError):
        lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return {w[0][:-1]: int(w[1]) * 1024 for w in lines if w and w[0][:-1] in _FIELDS}
    return {}
