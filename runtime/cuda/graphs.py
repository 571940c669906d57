"""Graphs of decode steps: captured at load for some numbers of sequences, used for those below."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ...artifact import Described
from ..layout import Sizes
from ..player import Dims, one_token_each
from .device import Device
from .inputs import InputBlock
from .memory import NUM_STAGES, DeviceMemory
from .staging import Stage
from .tapes import Tapes

_SMALL, _STRIDE = (1, 2, 4), 8
_MOST = 1024  # sequences: larger steps take long enough to be launched meanwhile
_WITHOUT = "which enforce_eager=True does without"
_LAUNCH_BYTES = 4096  # that a launch in a graph takes of the device, with its share of the kernels


class Graph(NamedTuple):
    """A captured step of `num_rows` sequences, a token and a row of logits each."""

    numbers: dict[Stage, int]  # the player's, for each stage
    num_rows: int
    inputs: InputBlock  # laid out for just so many


class DecodeGraphs:
    """Captured in growing order, for the fewer rows a step has the more of it is launching."""

    def __init__(
        self,
        device: Device,
        memory: DeviceMemory,
        stages: Sequence[Stage],
        tapes: Tapes,
        sizes: Sizes,
    ) -> None:
        self._device, self._memory, self._stages = device, memory, stages
        self._tapes, self._sizes = tapes, sizes
        self._graph_for: list[Graph] = []  # at n - 1: the smallest that takes n sequences

    def capture(self, capture_s: float) -> None:
        """Captures until all are there or the time is used up; the rest of the sizes run tapes."""
        started_s = time.perf_counter()
        for num_rows in buckets(min(self._sizes["S"], self._sizes["R"], self._sizes["T"])):
            if time.perf_counter() - started_s >= capture_s:
                return
            with self._device.doing(f"graphs of {num_rows} sequences, {_WITHOUT}"):
                graph = self._capture(num_rows)
            self._graph_for += [graph] * (num_rows - len(self._graph_for))

    def find(self, dims: Dims) -> Graph | None:
        """The graph for a step of T, S, R, P, if each sequence has one token and one row."""
        num_rows = dims[2]
        if one_token_each(dims) and num_rows <= len(self._graph_for):
            return self._graph_for[num_rows - 1]
        return None

    @property
    def sizes(self) -> list[int]:
        """The numbers of sequences that were captured, in growing order."""
        return sorted({graph.num_rows for graph in self._graph_for})

    def _capture(self, num_rows: int) -> Graph:
        sizes: Mapping[str, int] = {**self._sizes, "T": num_rows, "S": num_rows, "R": num_rows}
        block = InputBlock(self._memory.step_inputs, sizes)
        forms = [self._tapes.choose(entry, num_rows, True) for entry in ("step", "sample")]
        numbers = {}
        for stage in self._stages:
            places = stage.places(block)
            tapes = [form.bind(self._device, self._memory, places) for form in forms]
            dims = num_rows, num_rows, num_rows, self._sizes["P"]
            numbers[stage] = self._device.add_graph(tapes, dims)
        return Graph(numbers, num_rows, block)


def graphs_bytes(described: Described, most: int) -> int:
    """About what graphs of steps of up to `most` sequences take of a device."""
    num_launches = sum(
        len(described.choose(entry, num_rows, True).launches)
        for num_rows in buckets(most)
        for entry in ("step", "sample")
    )
    return NUM_STAGES * num_launches * _LAUNCH_BYTES


def buckets(most: int) -> Iterator[int]:
    """1, 2, 4, then multiples of 8, and `most` itself, or 1024 if less."""
    most = min(most, _MOST)
    yield from (n for n in (*_SMALL, *range(_STRIDE, most, _STRIDE)) if n < most)
    yield most
