"""The memory of a load: arena slots, key-value pages, inputs and weights, and their addresses."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Buffer, CacheBuffer, InputBuffer, SlotBuffer, Target, WeightBuffer
from ..kvcache.budget import bytes_per_page
from .layout import bytes_at, lay_out_arena
from .memory import Bytes, allocate, round_up
from .plan import MemoryPlan, inputs_bytes
from .weights import LoadedWeights

_DTYPES = {"i32": np.int32, "i64": np.int64, "f32": np.float32}


class Buffers:
    """Owns everything that a tape may point at; an address is valid as long as this lives."""

    def __init__(self, target: Target, plan: MemoryPlan, weights: LoadedWeights) -> None:
        self._target, self._weights = target, weights
        layout = lay_out_arena(self._target.slots, plan.bounds)
        self._slot_offsets = [*layout.offsets, layout.num_bytes]
        self.arena = allocate(layout.num_bytes, "the arena")
        self.caches = {
            group.name: allocate(bytes_per_page(group) * count, f"key-value pages {group.name!r}")
            for group, count in zip(self._target.cache_groups, plan.num_pages, strict=True)
        }
        self._layer_bytes = {
            group.name: group.page_bytes_per_layer * count
            for group, count in zip(self._target.cache_groups, plan.num_pages, strict=True)
        }
        self._inputs_memory = allocate(inputs_bytes(self._target, plan.bounds), "the inputs")
        self.inputs = self._lay_out_inputs(plan)

    @property
    def num_bytes(self) -> int:
        """Bytes that were allocated, weights and all."""
        parts = [self._weights.memory, self.arena, self._inputs_memory, *self.caches.values()]
        return sum(part.nbytes for part in parts)

    def address(self, buffer: Buffer) -> int:
        """Where a launch finds a buffer."""
        match buffer:
            case SlotBuffer(slot):
                return _address_of(self.arena) + self._slot_offsets[slot]
            case WeightBuffer(name):
                return self._weights.address(name)
            case InputBuffer(name):
                return _address_of(self.inputs[name])
            case CacheBuffer(group, layer):
                return _address_of(self.caches[group]) + layer * self._layer_bytes[group]

    def slot(self, index: int, dtype: Any) -> NDArray[Any]:
        """A view of a slot of the arena."""
        start, end = self._slot_offsets[index : index + 2]
        view: NDArray[Any] = self.arena[start:end].view(dtype)
        return view

    def fill(self, name: str, values: NDArray[Any]) -> None:
        """Copies values into the start of an input; one that no kernel reads is passed over."""
        array = self.inputs.get(name)
        if array is not None:
            array[: values.size] = values

    def fill_all(self, names: Iterable[str], record: object) -> None:
        """Copies the fields of a record into the inputs of their names."""
        for name in names:
            self.fill(name, getattr(record, name))

    def _lay_out_inputs(self, plan: MemoryPlan) -> dict[str, NDArray[Any]]:
        inputs: dict[str, NDArray[Any]] = {}
        start = 0
        for entry in self._target.inputs:
            end = start + bytes_at(entry.bytes, plan.bounds)
            inputs[entry.name] = self._inputs_memory[start:end].view(_DTYPES[entry.dtype])
            start += round_up(end - start)
        return inputs


def _address_of(array: Bytes | NDArray[Any]) -> int:
    return int(array.ctypes.data)
