"""What this machine's CPU can do, measured in a moment: there are no data sheets to name it by."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from .device_limits import DeviceLimits
from .machine import choose_num_threads

_BYTES = 256 << 20  # that are read: more than caches hold
_SIZE = 1024  # of the square matrices that are multiplied
_REPEATS = 5


def measure_cpu(bytes_per_s: float | None = None) -> DeviceLimits:
    """Bytes a second that all cores read, or as given, and operations a second of f32 products.

    Products of 16 bits are taken for as fast: what widening them costs is about what they save.
    """
    flops_per_s = 2 * _SIZE**3 / _shortest_s(_multiplication())
    limit = bytes_per_s or _read_bytes_per_s(choose_num_threads(None))
    return DeviceLimits(limit, dict.fromkeys(("f32", "f16", "bf16"), flops_per_s), None)


def _read_bytes_per_s(num_threads: int) -> float:
    parts = np.array_split(np.ones(_BYTES // 4, np.float32), num_threads)
    with ThreadPoolExecutor(num_threads) as pool:
        return _BYTES / _shortest_s(lambda: list(pool.map(np.max, parts)))


def _multiplication() -> Callable[[], object]:
    a, b = np.random.default_rng(0).random((2, _SIZE, _SIZE), np.float32)
    return partial(np.matmul, a, b)


def _shortest_s(run: Callable[[], object]) -> float:
    times_s = []
    for _ in range(_REPEATS):
        started_s = time.perf_counter()
        run()
        times_s.append(time.perf_counter() - started_s)
    return min(times_s)
