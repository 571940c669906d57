"""Variants of one kernel in one library, launched as the artifact launches the kernel: on the same
buffers, with the weights of every layer in turn."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import settings
from ..artifact import Launch, SlotBuffer
from ..artifact.scratch import scratch_folder
from ..artifact.tuning_table import Configuration, Key
from ..codegen.cpp.emit import EmittedRegion, emit_region
from ..codegen.cpp.library import build_trial
from ..ir.graph import Function, Value
from ..ir.types import DType
from ..runtime import player
from ..runtime.executor import Executor
from ..runtime.layout import coefficients
from ..runtime.player import Dims, Player, PlayerLibrary
from .space import Times

_ONCE_S = 1e-3  # about what is timed at once
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
        objects = settings.objects_folder()
        with scratch_folder(objects) as folder:
            source = "\n".join(_renamed(made, number) for number, made in enumerate(emitted))
            path = build_trial(source, executor.level, objects, folder)
            self._player = Player(library, path, executor.num_threads)
        self._tapes = [self._add(number, product.launches) for number in range(len(emitted))]
        self._chance, self._next = random.Random(0), 0  # the launch that is timed next

    def output(self, variant: int, dims: Dims) -> NDArray[np.uint8]:
        """What the kernel's first launch gives on random inputs, the same for all variants."""
        symbols, numbers = dict(zip(_SYMBOLS, dims, strict=True)), np.random.default_rng(0)
        for memory, value in self._slots("param", self._product.function.params, symbols):
            _randomize(memory, value.dtype, numbers)
        [(result, _)] = self._slots("result", self._product.function.results, symbols)
        result[:] = 0xFF
        self._player.run_part(self._tapes[variant], dims, 0, 1)
        return result.copy()

    def times(self, first: int, second: int, dims: Dims, num_pairs: int) -> Times:
        """Seconds of a launch. Each time is of the launches after those of the time before: as in a
        step, their weights are as far away as they are when all others have passed."""
        total = len(self._product.launches)
        for variant in (first, second):
            launch_s = self._time(variant, dims, total) / total
        count = max(1, round(_ONCE_S / max(launch_s, 1e-9)))
        times: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(num_pairs):
            for place in self._chance.sample((0, 1), 2):
                times[place].append(self._time((first, second)[place], dims, count) / count)
        return Times(times[0], times[1])

    def close(self) -> None:
        """Unloads the library."""
        self._player.close()

    def _time(self, variant: int, dims: Dims, count: int) -> float:
        """Seconds of the next launches, so many of them."""
        tape, total = self._tapes[variant], len(self._product.launches)
        started_s = time.perf_counter()
        while count:
            begin = self._next % total
            end = min(begin + count, total)
            self._player.run_part(tape, dims, begin, end)
            count -= end - begin
            self._next = end
        return time.perf_counter() - started_s

    def _add(self, variant: int, launches: Sequence[Launch]) -> int:
        name = f"{self._emitted.name}_variant{variant}"
        return self._player.add_tape(
            bound(launches, self._executor, dict.fromkeys(_names(launches), name))
        )

    def _slots(
        self, kind: str, values: Sequence[Value], symbols: Mapping[str, int]
    ) -> Iterator[tuple[NDArray[np.uint8], Value]]:
        """The memory of the first launch's operands of a kind that are in the arena."""
        operands = self._emitted.launches[0].buffers
        for buffer, operand in zip(self._product.launches[0].buffers, operands, strict=True):
            if operand.kind == kind and isinstance(buffer, SlotBuffer):
                value = values[int(operand.place)]
                num_bytes = value.type.num_bytes().evaluate(symbols)
                yield self._executor.buffers.slot(buffer.slot, np.uint8)[:num_bytes], value


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
    """Fills it with normal numbers of a type; with zeros, which are valid indices, else."""
    values = numbers.standard_normal(len(memory) // dtype.itemsize, np.float32)
    if dtype is DType.F32:
        memory.view(np.float32)[:] = values
    elif dtype is DType.BF16:
        memory.view(np.uint16)[:] = values.view(np.uint32) >> 16
    else:
        memory[:] = 0
