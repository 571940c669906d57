"""Memory for weights, arena, pages and inputs: zeroed, aligned, and taken once."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError

ALIGNMENT_BYTES = 64  # what kernels may assume of every buffer
_HUGE_BYTES = 4 << 20

Bytes = NDArray[np.uint8]


def round_up(num_bytes: int) -> int:
    """To the next multiple of the alignment."""
    return -(-num_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def allocate(num_bytes: int, purpose: str) -> Bytes:
    """Zeroed, page-aligned bytes that cost real memory only once they are touched.

    Raises CapacityError naming `purpose` and the size if the system refuses.
    """
    try:
        region = mmap.mmap(-1, max(num_bytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError, ValueError) as error:
        raise CapacityError(
            f"{purpose}: {num_bytes} bytes cannot be allocated ({error}); lower max_num_seqs, "
            "max_model_len, max_num_batched_tokens or kv_cache_bytes"
        ) from None
    if num_bytes >= _HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        region.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(region, np.uint8)[:num_bytes]


def allocate_array(shape: tuple[int, ...], dtype: Any, purpose: str) -> NDArray[Any]:
    """A zeroed, aligned array."""
    count = int(np.prod(shape))
    raw = allocate(count * np.dtype(dtype).itemsize, purpose)
    array: NDArray[Any] = raw.view(dtype).reshape(shape)
    return array


def machine_bytes() -> int:
    """The memory this process may use: the machine's, or its control group's limit if lower."""
    total = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) * 1024
    return min([total, *_limits("/sys/fs/cgroup/memory.max")])


def num_cores() -> float:
    """The cores this process may use: its affinity, or its control group's quota if lower."""
    import os

    cores = float(len(os.sched_getaffinity(0)))
    quota = _limits("/sys/fs/cgroup/cpu.max")
    return min(cores, quota[0] / quota[1]) if len(quota) == 2 else cores


def _limits(path: str) -> list[int]:
    """The numbers in a control group's file; none if there is no file or no limit."""
    try:
        return [int(word) for word in Path(path).read_text().split()]
    except (OSError, ValueError):
        return []
