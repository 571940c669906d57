"""Variants of one kernel in one library, launched as the artifact launches the kernel: on the same
buffers, with the weights of every layer in turn."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import settings
from ..artifact import Launch, SlotBuffer
from ..artifact.tuning_table import Configuration, Key
from ..codegen.cpp.emit import EmittedRegion, emit_region
from ..codegen.cpp.library import build_trial
from ..ir.graph import Function
from ..ir.types import DType
from ..runtime import player
from ..runtime.executor import Executor
from ..runtime.layout import coefficients
from ..runtime.player import Dims, Player, PlayerLibrary
from .space import Times

_LEAST_S = 0.3e-3  # of what is timed at once
_SYMBOLS = ("T", "S", "R", "P")


@dataclass(frozen=True)
class Product:
    """A kernel of matrix products in an artifact: its region, and its launches in a step."""

    function: Function
    packed: frozenset[str]  # parameters that are stored as packed weights
    launches: Sequence[Launch]


class Variants:
    """A loaded library of variants. They share their buffers, so one is run at a time."""

    def __init__(
        self,
        product: Product,
        key: Key,
        configurations: Sequence[Configuration],
        executor: Executor,
        library: PlayerLibrary,
    ) -> None:
        self._product, self._executor = product, executor
        emitted = [
            emit_region(product.function, product.packed, {executor.level: {key: configuration}})
            for configuration in configurations
        ]
        self._emitted = emitted[0]
        with tempfile.TemporaryDirectory() as folder:
            source = "\n".join(_renamed(made, number) for number, made in enumerate(emitted))
            objects = settings.CACHE.get() / "objects"
            path = build_trial(source, executor.level, objects, Path(folder))
            self._player = Player(library, path, executor.num_threads)
        self._tapes = [self._add(number, product.launches) for number in range(len(emitted))]
        self._firsts = [self._add(number, product.launches[:1]) for number in range(len(emitted))]
        self._chance = random.Random(0)

    def output(self, variant: int, dims: Dims) -> NDArray[np.uint8]:
        """What the kernel's first launch gives on random inputs, the same for all variants."""
        self._fill()
        launch = self._product.launches[0]
        place = next(
            place
            for place, operand in enumerate(self._emitted.launches[0].buffers)
            if operand.kind == "result"
        )
        symbols = dict(zip(_SYMBOLS, dims, strict=True))
        num_bytes = self._product.function.results[0].type.num_bytes().evaluate(symbols)
        buffer = launch.buffers[place]
        assert isinstance(buffer, SlotBuffer), "a product's result is in the arena"
        result = self._executor.buffers.slot(buffer.slot, np.uint8)[:num_bytes]
        result[:] = 0xFF
        self._player.run(self._firsts[variant], dims)
        return result.copy()

    def times(self, first: int, second: int, dims: Dims, num_pairs: int) -> Times:
        """Seconds of a launch, on the average of a step's."""
        repeats = max(1, round(_LEAST_S / max(self._time(first, dims, 1), 1e-9)))
        self._time(second, dims, 1)
        times: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(num_pairs):
            for place in self._chance.sample((0, 1), 2):
                taken_s = self._time((first, second)[place], dims, repeats)
                times[place].append(taken_s / (repeats * len(self._product.launches)))
        return Times(times[0], times[1])

    def close(self) -> None:
        """Unloads the library."""
        self._player.close()

    def _time(self, variant: int, dims: Dims, repeats: int) -> float:
        started_s = time.perf_counter()
        for _ in range(repeats):
            self._player.run(self._tapes[variant], dims)
        return time.perf_counter() - started_s

    def _add(self, variant: int, launches: Sequence[Launch]) -> int:
        name = f"{self._emitted.name}_variant{variant}"
        return self._player.add_tape(
            bound(launches, self._executor, dict.fromkeys(_names(launches), name))
        )

    def _fill(self) -> None:
        """Gives the parameters that are no weights random values."""
        numbers = np.random.default_rng(0)
        operands = self._emitted.launches[0].buffers
        for buffer, operand in zip(self._product.launches[0].buffers, operands, strict=True):
            if operand.kind == "param" and isinstance(buffer, SlotBuffer):
                dtype = self._product.function.params[int(operand.place)].dtype
                _randomize(self._executor.buffers.slot(buffer.slot, np.uint8), dtype, numbers)


def bound(
    launches: Sequence[Launch], executor: Executor, names: Mapping[str, str]
) -> list[player.Launch]:
    """Launches with the addresses of their buffers, under other names where ``names`` has them."""
    return [
        player.Launch(
            names.get(launch.kernel, launch.kernel),
            [executor.place(buffer).address for buffer in launch.buffers],
            [coefficients(scalar) for scalar in launch.scalars],
        )
        for launch in launches
    ]


def _names(launches: Sequence[Launch]) -> set[str]:
    return {launch.kernel for launch in launches}


def _renamed(made: EmittedRegion, number: int) -> str:
    return made.source.replace(made.name, f"{made.name}_variant{number}")


def _randomize(memory: NDArray[np.uint8], dtype: DType, numbers: np.random.Generator) -> None:
    """Fills a slot with normal numbers of a type; with zeros, which are valid indices, else."""
    size = len(memory) // 4 * 4
    memory[:] = 0
    if dtype is DType.F32:
        memory[:size].view(np.float32)[:] = numbers.standard_normal(size // 4, np.float32)
    elif dtype is DType.BF16:
        values = numbers.standard_normal(size // 2, np.float32).view(np.uint32) >> 16
        memory[:size].view(np.uint16)[:] = values.astype(np.uint16)
