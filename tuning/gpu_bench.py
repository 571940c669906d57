"""Plays and times kernels on an executor's memory, by a player that has them for itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..artifact import Buffer, Cubin, Launch, SlotBuffer, Tape
from ..runtime.cuda.device import Device
from ..runtime.cuda.executor import CudaExecutor
from ..runtime.cuda.memory import Places
from ..runtime.cuda.tapes import LoadedKernel, TapeForm
from ..runtime.player import Dims
from .space import Times

_NOWHERE = Places({}, {})


class GpuBench:
    """Another player on the executor's device; closing it frees its kernels, tapes and graphs."""

    def __init__(self, player: Path, executor: CudaExecutor) -> None:
        self._executor, self._device = executor, Device(player)
        self._device.start()
        self._kernels: dict[str, LoadedKernel] = {}
        self._scratch: dict[SlotBuffer, tuple[int, int]] = {}
        self._known: dict[Buffer, int] = {}  # places that the executor has told
        self._tapes: dict[str, int] = {}
        self._graphs: dict[tuple[int, Dims], int] = {}
        self._events: list[int] = []

    def load(self, name: str, code: bytes, cubin: Cubin) -> None:
        """Makes a kernel known to tapes that are added afterwards."""
        facts = (cubin.entry, cubin.num_warps, cubin.shared_bytes, cubin.begins_early)
        self._kernels[name] = LoadedKernel(self._device.add_kernel(code, *facts), cubin.maps)

    def has(self, name: str) -> bool:
        """Whether a kernel is loaded."""
        return name in self._kernels

    def reserve(self, slot: SlotBuffer, num_bytes: int) -> None:
        """Lets launches of tapes that are added afterwards use so many bytes, zero at first."""
        if self._scratch.get(slot, (0, 0))[1] < num_bytes:
            address = self._device.allocate(num_bytes, "what kernels leave to each other")
            self._scratch[slot] = (address, num_bytes)

    def add_once(self, name: str, launches: Sequence[Launch]) -> int:
        """The number of the tape of that name, which has these launches from the first time on."""
        if name not in self._tapes:
            form = TapeForm(Tape(launches=list(launches)), self._kernels)
            self._tapes[name] = form.bind(self._device, self, _NOWHERE)
        return self._tapes[name]

    def address(self, buffer: Buffer, places: Places) -> int:
        """Where launches find a buffer."""
        if isinstance(buffer, SlotBuffer) and buffer in self._scratch:
            return self._scratch[buffer][0]
        if buffer not in self._known:
            self._known[buffer] = self._executor.place(buffer).address
        return self._known[buffer]

    def num_bytes(self, buffer: Buffer) -> int:
        """What launches may read from its start on."""
        if isinstance(buffer, SlotBuffer) and buffer in self._scratch:
            return self._scratch[buffer][1]
        return self._executor.num_bytes(buffer)

    def play(self, tape: int, dims: Dims) -> None:
        """Plays a tape, and waits."""
        for address, num_bytes in self._scratch.values():
            self._device.call("zero", address, num_bytes)
        self._device.run_tape(tape, dims)
        self._device.synchronize()

    def times(self, first: int, second: int, dims: Dims, num_pairs: int) -> Times:
        """Seconds of two tapes, as graphs that follow one another without a pause."""
        graphs = self._graph(first, dims), self._graph(second, dims)
        order = [place for pair in range(num_pairs) for place in ((0, 1), (1, 0))[pair % 2]]
        events = self._some_events(len(order) + 1)
        self._device.run_graph(graphs[1])  # the host is ahead when what counts begins
        self._device.call("event_record", events[0])
        for place, event in zip(order, events[1:], strict=True):
            self._device.run_graph(graphs[place])
            self._device.call("event_record", event)
        self._device.call("event_wait", events[-1])
        taken = np.empty((2, num_pairs))
        for number, place in enumerate(order):
            elapsed_s = self._device.elapsed_s(events[number], events[number + 1])
            taken[place, number // 2] = elapsed_s
        return Times(*taken.tolist())

    def close(self) -> None:
        """Frees all."""
        self._device.close()

    def _graph(self, tape: int, dims: Dims) -> int:
        if (tape, dims) not in self._graphs:
            self._graphs[tape, dims] = self._device.add_graph([tape], dims)
        return self._graphs[tape, dims]

    def _some_events(self, count: int) -> list[int]:
        while len(self._events) < count:
            self._events.append(self._device.event(with_time=True))
        return self._events[:count]
