"""What the CPU at hand can do, measured: bytes that it reads and operations that it adds up."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from .. import settings
from ..artifact.scratch import scratch_folder
from ..codegen.cpp.library import build_trial
from ..runtime.memory import allocate
from ..runtime.player import Launch, Player, PlayerLibrary

_MIB = 1 << 20
_MOST_BYTES = 256 * _MIB  # no cache holds more
_NUM_ROUNDS = 8  # at least, and as many as there is time for:
_LEAST_S = 0.2
_NUM_TILES = 500  # a millisecond: a longer round is disturbed each time on a busy machine

_SOURCE = """
#include "region.h"
using namespace tapeout;

// Reads scalars[0] bytes, a MiB a unit.
TAPEOUT_KERNEL(read_bytes) {
    const char *from = (const char *)launch->buffers[0];
    constexpr i64 UNIT = 1 << 20;
    vf sums[4] = {vf(0.0f), vf(0.0f), vf(0.0f), vf(0.0f)};
    for (i64 unit; (unit = next_unit(launch->ticket)) * UNIT < launch->scalars[0];)
        for (i64 at = unit * UNIT; at < (unit + 1) * UNIT; at += 256)
            UNROLL for (int i = 0; i < 4; i++)
                sums[i] = max(sums[i], load((const float *)(from + at + 64 * i)));
    *(volatile float *)launch->buffers[1] = first(sums[0] + sums[1] + sums[2] + sums[3]);
}

// Tiles of 12 rows by 32 outputs and 128 of K, all in the nearest cache.
template <class X> void multiply(i64 *ticket, i64 tiles) {
    alignas(64) static X x[12 * 128], w[2 * 128 * 16];
    alignas(64) float acc[12 * 32];
    const X *rows[12], *blocks[2] = {w, w + 128 * 16};
    for (int r = 0; r < 12; r++) rows[r] = x + r * 128;
    for (i64 unit; (unit = next_unit(ticket)) * 16 < tiles;)
        for (int i = 0; i < 16; i++)
            product_tile(12, 2, rows, blocks, 0, 128, acc, 32, tile_choice{12, 2, 0});
}
TAPEOUT_KERNEL(multiply_f32) { multiply<float>(launch->ticket, launch->scalars[0]); }
TAPEOUT_KERNEL(multiply_bf16) { multiply<bf16>(launch->ticket, launch->scalars[0]); }
"""
_FLOPS_PER_TILE = 2 * 12 * 32 * 128


class CpuProbe:
    """Measures with the threads that kernels have; the best of some short rounds counts."""

    def __init__(self, library: PlayerLibrary, level: str, num_threads: int) -> None:
        objects = settings.objects_folder()
        with scratch_folder(objects) as folder:
            path = build_trial(_SOURCE, level, objects, folder)
            self._player = Player(library, path, num_threads)
        self._memory = allocate(_MOST_BYTES, "a probe of the memory")
        self._memory.view(np.float32)[:] = 1.0
        self._result = allocate(64, "a probe of the memory")
        self._rates: dict[int, float] = {}

    def bytes_per_s(self, num_bytes: int) -> float:
        """The rate at which about so many bytes are read again and again, be they in a cache."""
        size = min(max(1 << (num_bytes - 1).bit_length(), _MIB), _MOST_BYTES)
        if size not in self._rates:
            self._rates[size] = self._per_s("read_bytes", size)
        return self._rates[size]

    def flops_per_s(self) -> dict[str, float]:
        """Operations of products whose numbers are all in the nearest cache, by dtype."""
        rates = {kind: self._per_s(f"multiply_{kind}", _NUM_TILES) for kind in ("f32", "bf16")}
        return {kind: rate * _FLOPS_PER_TILE for kind, rate in rates.items()}

    def close(self) -> None:
        """Ends the threads."""
        self._player.close()

    def _per_s(self, kernel: str, count: int) -> float:
        buffers = [self._memory.ctypes.data, self._result.ctypes.data]
        tape = self._player.add_tape([Launch(kernel, buffers, [(count, 0, 0, 0, 0)])])
        times_s: list[float] = []
        until_s = time.perf_counter() + _LEAST_S
        while len(times_s) < _NUM_ROUNDS or time.perf_counter() < until_s:
            started_s = time.perf_counter()
            self._player.run(tape, (1, 1, 1, 1))
            times_s.append(time.perf_counter() - started_s)
        return count / min(times_s)


def cpu_name() -> str:
    """The processor's name, as the system knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "a CPU without a name"
