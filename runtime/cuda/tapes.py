"""Tapes for the player: flat arrays of launches, and the choice of the one that takes a step."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...artifact import Artifact, Buffer, Tape, TensorMap
from ..layout import coefficients
from .device import Device
from .memory import Places

_ELEMENTS = {"fp16": (6, 2), "fp32": (7, 4), "bf16": (9, 2)}
"""The driver's number of a type, and its bytes."""


class LoadedKernel(NamedTuple):
    """A kernel on the device."""

    number: int
    maps: Sequence[TensorMap]


class Memory(Protocol):
    """Where everything is that launches are told of."""

    def address(self, buffer: Buffer, places: Places) -> int:
        """Where a launch finds a buffer."""

    def num_bytes(self, buffer: Buffer) -> int:
        """What a launch may read from a buffer's start on, whatever the step's size."""


class TapeForm:
    """A tape with all but the addresses of its buffers, which differ from bucket to bucket."""

    def __init__(self, tape: Tape, kernels: Mapping[str, LoadedKernel]) -> None:
        self.takes = tape.takes
        self.launches = launches = tape.launches
        self._buffers = [buffer for launch in launches for buffer in launch.buffers]
        self._fixed: NDArray[np.uint64] | None = None
        self._moving: list[tuple[int, Buffer]] = []
        scalars = [coefficients(scalar) for launch in launches for scalar in launch.scalars]
        grid = [(*coefficients(t.extent), t.divisor, t.factor) for la in launches for t in la.grid]
        used = [kernels[launch.kernel] for launch in launches]
        self._kernel_ids = np.array([kernel.number for kernel in used], np.int32)
        self._buffer_begin = _begins(len(launch.buffers) for launch in launches)
        self._scalar_begin = _begins(len(launch.scalars) for launch in launches)
        self._maps = [
            (begin + tensor_map.buffer, tensor_map)
            for begin, kernel in zip(self._buffer_begin.tolist(), used, strict=False)
            for tensor_map in kernel.maps
        ]
        self._scalars, self._grid = np.array(scalars, np.int64), np.array(grid, np.int64)
        assert len(grid) == 3 * len(launches), "a launch on a GPU has a grid of three terms"

    def bind(
        self,
        device: Device,
        memory: Memory,
        places: Places,
        num_launches: int | None = None,
    ) -> int:
        """The number of a tape of the player that finds inputs and results at `places`.

        It has the first `num_launches` launches, by default all.
        """
        count = len(self.launches) if num_launches is None else num_launches
        arrays: Sequence[NDArray[Any]] = (
            self._kernel_ids,
            self._buffer_begin,
            self._addresses(memory, places),
            self._scalar_begin,
            self._scalars,
            self._grid,
        )
        used = [found for found in self._maps if found[0] < self._buffer_begin[count]]
        maps = np.array([self._facts(*found, memory) for found in used], np.int64)
        pointers = [array.ctypes.data for array in arrays]
        return device.call("tape_add", count, *pointers, len(maps), maps.ctypes.data)

    def _facts(self, index: int, tensor_map: TensorMap, memory: Memory) -> list[int]:
        """A map as the player takes it: of all rows that the buffer holds."""
        element, element_bytes = _ELEMENTS[tensor_map.dtype]
        width = tensor_map.width
        rows = memory.num_bytes(self._buffers[index]) // (width * element_bytes)
        return [index, element, element_bytes, rows, width, *tensor_map.box, tensor_map.swizzle]

    def _addresses(self, memory: Memory, places: Places) -> NDArray[np.uint64]:
        """Of all buffers; most are in the same place for every bucket, and found only once."""
        if self._fixed is None:
            found = [memory.address(buffer, places) for buffer in self._buffers]
            self._fixed = np.array(found, np.uint64)
            self._moving = [(i, b) for i, b in enumerate(self._buffers) if places.has(b)]
        addresses = self._fixed.copy()
        for index, buffer in self._moving:
            addresses[index] = memory.address(buffer, places)
        return addresses


class Tapes:
    """The tapes of an artifact's target by entry, each in the order of preference."""

    def __init__(self, artifact: Artifact, target_name: str, device: Device) -> None:
        kernels = _load_kernels(artifact, target_name, device)
        self.by_name = {
            name: TapeForm(artifact.tape(target_name, name), kernels)
            for name in artifact.manifest.targets[target_name].tapes
        }
        self._forms: dict[str, list[TapeForm]] = {}
        for name, form in self.by_name.items():
            self._forms.setdefault(name.split(".")[0], []).append(form)

    def choose(self, entry: str, num_rows: int, one_token_each: bool) -> TapeForm:
        """The first tape of an entry that takes a step."""
        return next(f for f in self._forms[entry] if f.takes(num_rows, one_token_each))


def _load_kernels(artifact: Artifact, target_name: str, device: Device) -> dict[str, LoadedKernel]:
    loaded = {}
    for kernel in artifact.manifest.targets[target_name].kernels:
        cubin = kernel.cubin
        assert cubin is not None, f"{kernel.name} has no cubin"
        code = artifact.read(cubin.file)
        number = device.add_kernel(
            code, cubin.entry, cubin.num_warps, cubin.shared_bytes, cubin.begins_early
        )
        loaded[kernel.name] = LoadedKernel(number, cubin.maps)
    return loaded


def _begins(counts: Iterable[int]) -> NDArray[np.int32]:
    """Where each launch's entries begin, and the end of the last."""
    return np.array([0, *itertools.accumulate(counts)], np.int32)
