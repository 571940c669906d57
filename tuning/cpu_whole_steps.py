"""Whole steps on the CPU: with an artifact's kernels, and with kernels of other choices."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path

from .. import settings
from ..artifact import Artifact
from ..artifact.scratch import scratch_folder
from ..artifact.tuning_table import Configuration, Key
from ..codegen.cpp.library import build_trial
from ..codegen.packing import pack_weights
from ..codegen.program import compile_program
from ..ir.graph import Module
from ..runtime.executor import TARGET, Executor
from ..runtime.frame import Frame
from ..runtime.player import Player, PlayerLibrary
from .cpu_variants import bound
from .space import Times

_LONG_S = 10e-3


class WholeSteps:
    """Times steps on an executor's buffers, by players with libraries of their own."""

    def __init__(
        self,
        artifact: Artifact,
        module: Module,
        executor: Executor,
        library: PlayerLibrary,
        own: Mapping[Key, Configuration],  # of the artifact's kernels, where no rule chose it
    ) -> None:
        self._module, self._executor, self._library, self._own = module, executor, library, own
        self._launches = bound(artifact.tape(TARGET, "step").launches, executor, {})
        levels = artifact.manifest.targets[TARGET].levels
        self._as_it_is = self._load(artifact.file_path(levels[executor.level]))
        self._chosen: Mapping[Key, Configuration] = {}
        self._tuned: tuple[Player, int] | None = None
        self._chance = random.Random(0)

    def times(self, frame: Frame, chosen: Mapping[Key, Configuration], num_pairs: int) -> Times:
        """Seconds of steps as they are, and of steps with ``chosen``."""
        if self._tuned is None or self._chosen != chosen:
            self._tune(chosen)
        assert self._tuned is not None
        self._executor.send(frame)
        times: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(num_pairs):
            for place in self._chance.sample((0, 1), 2):
                times[place].append(_step_s(*(self._as_it_is, self._tuned)[place], frame))
        return Times(times[0], times[1])

    def close(self) -> None:
        """Unloads the libraries."""
        self._as_it_is[0].close()
        if self._tuned is not None:
            self._tuned[0].close()

    def _tune(self, chosen: Mapping[Key, Configuration]) -> None:
        if self._tuned is not None:
            self._tuned[0].close()
        _, packed = pack_weights(self._module)
        asked = {self._executor.level: {**self._own, **chosen}}
        program = compile_program(self._module, packed, asked)
        objects = settings.objects_folder()
        with scratch_folder(objects) as folder:
            source = "\n".join(region.source for region in program.regions)
            path = build_trial(source, self._executor.level, objects, folder)
            self._tuned, self._chosen = self._load(path), dict(chosen)

    def _load(self, path: Path) -> tuple[Player, int]:
        player = Player(self._library, path, self._executor.num_threads)
        return player, player.add_tape(self._launches)


def _step_s(player: Player, tape: int, frame: Frame) -> float:
    """The second of two steps: the first wakes its threads, and lets the other player's sleep.

    Long steps do that in a small part of their time.
    """
    for _ in range(2):
        started_s = time.perf_counter()
        player.run(tape, frame.dims)
        step_s = time.perf_counter() - started_s
        if step_s > _LONG_S:
            break
    return step_s
