"""What this machine gives: memory, cores, and the instruction-set level to run at."""

import os
from pathlib import Path

from .. import settings
from ..artifact import Target
from ..errors import InputError
from .checks import check_whole
from .player import PlayerLibrary

_MAX_THREADS = 1024


def memory_bytes() -> int:
    """The memory this process may use: the machine's, or its control group's limit if lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *_limits("/sys/fs/cgroup/memory.max")])


def choose_num_threads(asked: int | None) -> int:
    """What was asked for, else what the environment says, else one for each core we may use."""
    if asked is None:
        return settings.NUM_THREADS.get() or _num_cores()
    check_whole("num_threads", asked, 1, _MAX_THREADS)
    return asked


def choose_level(target: Target, library: PlayerLibrary) -> str:
    """The best level of the artifact that this CPU runs, or the one the environment asks for."""
    asked = settings.CPU_LEVEL.get()
    runs = [level for level in target.levels if library.supports(level)]
    if asked is None and runs:
        return runs[0]
    if asked in runs:
        return asked
    known = f"the artifact has {', '.join(target.levels)}, and of these this CPU runs"
    if not runs:
        raise InputError(f"{known} none; compile the model for a level that this CPU has")
    raise InputError(
        f"TAPEOUT_CPU_LEVEL={asked} cannot be used: {known} {', '.join(runs)}; set it to one of "
        "these, or unset it"
    )


def _num_cores() -> int:
    """Cores that we may run on; fewer if the control group has a quota."""
    cores = len(os.sched_getaffinity(0))
    quota = _limits("/sys/fs/cgroup/cpu.max")
    return max(1, min(cores, quota[0] // quota[1])) if len(quota) == 2 else cores


def _limits(path: str) -> list[int]:
    """The numbers in a control group's file; none if there is no file or no limit."""
    try:
        return [int(word) for word in Path(path).read_text().split()]
    except (OSError, ValueError):
        return []
