"""Variants of a region's kernels: compiled ahead, loaded where they are played."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from .. import settings
from ..artifact import Cubin, Launch
from ..artifact.tuning_table import Configuration
from ..codegen.triton.choice import fields_of
from ..codegen.triton.compile import Compiled, Compiler
from ..codegen.triton.emit import EmittedRegion
from ..codegen.triton.program import bounded_workspace
from ..codegen.triton.targets import TARGETS
from ..codegen.triton.workers import Workers
from ..errors import BuildError
from ..runtime.cuda.executor import CudaExecutor
from .gpu_bench import GpuBench
from .gpu_calls import Call, Scratch, launches_of
from .gpu_works import GpuWork

TURNS_AHEAD = max(2, -(-2 * (os.cpu_count() or 1) // 8))  # of eight each: no core is to wait


class GpuRound:
    """What is compared with each other. Its bench is opened when something is first played."""

    def __init__(self, player: Path, executor: CudaExecutor) -> None:
        self._player, self._executor = player, executor
        self._opened: GpuBench | None = None

    @property
    def bench(self) -> GpuBench:
        """Its own player."""
        if self._opened is None:
            self._opened = GpuBench(self._player, self._executor)
        return self._opened

    def close(self) -> None:
        """Frees what was loaded."""
        if self._opened is not None:
            self._opened.close()


class GpuVariant(NamedTuple):
    """A region's kernels in one configuration."""

    name: str  # no other of its round has it
    region: EmittedRegion
    compiled: Mapping[str, Compiled]  # by the suffix of a kernel
    hopper_or_later: bool
    round: GpuRound

    @property
    def names(self) -> list[str]:
        """Of its kernels, on the bench of its round."""
        return [self.name + kernel.suffix for kernel in self.region.kernels]

    def launches(
        self, work: GpuWork, calls: Sequence[Call], sizes: Mapping[str, int], first_slot: int
    ) -> list[Launch]:
        """Calls by its kernels, which are then on the bench of its round.

        ``sizes`` are those of the load, ``first_slot`` is the first that no artifact has.
        """
        bench, scratch = self.round.bench, Scratch(first_slot, self.region.tickets)
        for name, kernel in zip(self.names, self.region.kernels, strict=True):
            if not bench.has(name):
                made = self.compiled[kernel.suffix]
                cubin = _cubin(made, kernel.begins_early and self.hopper_or_later)
                bench.load(name, made.cubin.read_bytes(), cubin)
        for place, size in enumerate(self.region.workspaces):
            num_bytes = bounded_workspace(size, work.steps).evaluate(sizes)
            bench.reserve(scratch.slot(place), num_bytes)
        return [
            launch
            for call in calls
            for launch in launches_of(call, self.region, self.names, scratch)
        ]


class GpuCompiler:
    """Compiles variants in worker processes, while others are timed."""

    def __init__(self, target: str, player: Path, executor: CudaExecutor) -> None:
        self._kind = TARGETS[target]
        objects = settings.objects_folder()
        self._workers = Workers(objects, num_free=1)  # this process queues launches meanwhile
        self._compiler = Compiler(target, objects, self._workers)
        self._player, self._executor = player, executor
        self._rounds: list[GpuRound] = []

    def new_round(self) -> GpuRound:
        """A new one; those that nobody compares any more are closed."""
        self._rounds.append(GpuRound(self._player, self._executor))
        while len(self._rounds) > TURNS_AHEAD + 1:
            self._rounds.pop(0).close()
        return self._rounds[-1]

    def compile(
        self, work: GpuWork, configuration: Configuration, name: str, belongs_to: GpuRound
    ) -> Future[GpuVariant]:
        """A variant. The future fails with BuildError."""
        region = work.emit(configuration)
        kernels = {f"{work.function.name}{k.suffix}": k for k in region.kernels}
        own = fields_of(work.region.choice.chosen) if work.region.choice else configuration
        suffixes = {f"{work.function.name}{k.suffix}": k.suffix for k in region.kernels}
        future: Future[GpuVariant] = Future()

        def done(found: Future[dict[str, Compiled]]) -> None:
            try:
                compiled = {suffixes[kernel]: made for kernel, made in found.result().items()}
                if configuration != own:
                    _check(region, compiled)
                later = self._kind.hopper_or_later
                future.set_result(GpuVariant(name, region, compiled, later, belongs_to))
            except BaseException as error:
                future.set_exception(error)

        self._compiler.submit(kernels).add_done_callback(done)
        return future

    def close(self) -> None:
        """Ends the workers, and frees all rounds."""
        self._workers.close()
        for one in self._rounds:
            one.close()


def _check(region: EmittedRegion, compiled: Mapping[str, Compiled]) -> None:
    """What the compiler had to change is not what was asked for."""
    for kernel in region.kernels:
        made = compiled[kernel.suffix]
        if made.local_bytes:
            raise BuildError(f"{made.local_bytes} bytes of a thread do not fit in registers")
        if made.num_stages < kernel.num_stages:
            raise BuildError(f"shared memory holds {made.num_stages} stages, not so many")


def _cubin(made: Compiled, begins_early: bool) -> Cubin:
    return Cubin(
        file=made.cubin.name,
        assembly=made.assembly.name,
        entry=made.entry,
        num_warps=made.num_warps,
        shared_bytes=made.shared_bytes,
        registers=made.registers,
        local_bytes=made.local_bytes,
        begins_early=begins_early,
        maps=made.maps,
    )
