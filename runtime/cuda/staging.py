"""What the host shares with the device for one step in flight: pinned inputs, results, events."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...artifact import Target
from ..frame import NUM_TOP_LOGPROBS, Frame
from ..memory import Bytes, round_up
from ..plan import MemoryPlan
from .device import Device
from .inputs import InputBlock, addresses_of, fill
from .memory import DeviceMemory, Places

_WIDTHS = {"top_token_ids": NUM_TOP_LOGPROBS, "top_logprobs": NUM_TOP_LOGPROBS}
_DTYPES = {"sampled": np.int32, "ranks": np.int32, "top_token_ids": np.int32}
LOGPROBS = ("chosen_logprobs", "ranks", "top_token_ids", "top_logprobs")


class Stage:
    """Memory and events of one step, used again when that step is done.

    What is sampled is written by the device into the pinned memory of the results: no copy stands
    between two steps. Inputs are copied while the step before runs.
    """

    def __init__(
        self, device: Device, memory: DeviceMemory, target: Target, plan: MemoryPlan, number: int
    ) -> None:
        self._device, self._memory, self._target = device, memory, target
        self._rows, self._width = plan.max_logit_rows, plan.block_table_width
        self._address = memory.step_addresses[number]
        num_bytes = memory.step_block.num_bytes + memory.settings_block.num_bytes
        self._inputs = device.allocate_pinned(num_bytes, "staging of the inputs")
        self.settings = self._inputs[memory.step_block.num_bytes :]
        self._views: dict[InputBlock, dict[str, NDArray[Any]]] = {}
        self._results = self._allocate_results()
        self.start, self.end = device.event(with_time=True), device.event(with_time=True)
        self._sent = device.event()

    def places(self, block: InputBlock) -> Places:
        """Where tapes of this stage find inputs laid out as in `block`, and put results."""
        inputs = {**self._memory.tables, **addresses_of(self._address, block.offsets())}
        slot = self._target.outputs["sampled"]
        return Places(inputs, {slot: self._results["sampled"].ctypes.data})

    def send(self, frame: Frame, block: InputBlock) -> None:
        """Fills a block of a step's inputs and queues its one copy, ahead of what is queued."""
        if block not in self._views:
            self._views[block] = block.views(self._inputs)
        used_bytes = 0
        for name, array in self._views[block].items():
            if name.startswith("block_table_"):
                used_bytes = self._fill_table(frame, name, array)
            else:
                fill(array, name, getattr(frame, name))
        self._device.copy_ahead(self._address, self._inputs[: used_bytes or block.num_bytes])
        self._device.call("event_record_ahead", self._sent)
        self._device.call("stream_wait", self._sent)

    def _fill_table(self, frame: Frame, name: str, array: NDArray[Any]) -> int:
        """Fills a block table, [S, P] at the load's widest P; gives where its used rows end."""
        groups = [group.name for group in self._target.cache_groups]
        values = frame.block_tables[groups.index(name.removeprefix("block_table_"))]
        table = array.reshape(-1, self._width)
        num_rows, num_columns = values.shape
        table[:num_rows, :num_columns] = values
        used = table[:num_rows]
        return int(used.ctypes.data - self._inputs.ctypes.data + used.nbytes)

    def fetch_logprobs(self, num_rows: int) -> None:
        """Queues the copies of results that only some steps have."""
        for name in LOGPROBS:
            address = self._memory.slot(self._target.outputs[name])
            self._device.copy_out(self._results[name][:num_rows], address)

    def result(self, name: str, num_rows: int) -> NDArray[Any]:
        """A copy of a result of the step, which is done."""
        copied: NDArray[Any] = self._results[name][:num_rows].copy()
        return copied

    def _allocate_results(self) -> dict[str, NDArray[Any]]:
        names = ("sampled", *LOGPROBS)
        row_bytes = {name: round_up(4 * self._rows * _WIDTHS.get(name, 1)) for name in names}
        memory = self._device.allocate_pinned(sum(row_bytes.values()), "staging of the results")
        views, end = {}, 0
        for name, num_bytes in row_bytes.items():
            views[name] = self._view(memory[end : end + num_bytes], name)
            end += num_bytes
        return views

    def _view(self, memory: Bytes, name: str) -> NDArray[Any]:
        flat = memory.view(_DTYPES.get(name, np.float32))
        if name not in _WIDTHS:
            return flat
        return flat[: self._rows * _WIDTHS[name]].reshape(self._rows, _WIDTHS[name])
