"""The memory of a load on the device: weights, arena, pages and inputs, just as the plan says."""

from collections.abc import Mapping
from typing import NamedTuple

from ...artifact import Buffer, CacheBuffer, InputBuffer, SlotBuffer, Target, WeightBuffer
from ...kvcache.budget import bytes_per_page
from ..layout import lay_out_arena, slot_bytes
from ..plan import MemoryPlan
from .device import Device
from .inputs import InputBlock, addresses_of, sort_inputs
from .weights import place_weights

NUM_STAGES = 2  # copies of a step's inputs: one is filled while the other is read


class Places(NamedTuple):
    """Where a tape finds what is not always in the same place."""

    inputs: Mapping[str, int]
    slots: Mapping[int, int]  # those that are not in the arena

    def has(self, buffer: Buffer) -> bool:
        """Whether the buffer is one of these."""
        if isinstance(buffer, SlotBuffer):
            return buffer.slot in self.slots
        return isinstance(buffer, InputBuffer)


class DeviceMemory:
    """Where everything is that a tape may point at. All of it is zero at first."""

    def __init__(self, device: Device, target: Target, plan: MemoryPlan) -> None:
        self.weights = place_weights(target, device.allocate(plan.weights_bytes, "the weights"))
        self._arena = device.allocate(plan.arena_bytes, "the arena")
        self._slot_bytes = [slot_bytes(slot, plan.sizes) for slot in target.slots]
        self._weight_bytes = {name: t.bytes for name, t in target.weights.tensors.items()}
        self._slot_offsets = lay_out_arena(target.slots, plan.sizes).offsets
        pages = list(zip(target.cache_groups, plan.num_pages, strict=True))
        self._caches = {
            group.name: device.allocate(
                bytes_per_page(group) * count, f"key-value pages {group.name!r}"
            )
            for group, count in pages
        }
        self._layer_bytes = {g.name: g.page_bytes_per_layer * count for g, count in pages}
        self._place_inputs(device.allocate(plan.inputs_bytes, "the inputs"), target, plan)

    def _place_inputs(self, base: int, target: Target, plan: MemoryPlan) -> None:
        kinds = sort_inputs(target.inputs)
        self.step_inputs = kinds.step
        self.step_block, self.settings_block, self.rows_block = (
            InputBlock(inputs, plan.sizes) for inputs in kinds
        )
        self.step_addresses = [base + i * self.step_block.num_bytes for i in range(NUM_STAGES)]
        self.settings_address = base + NUM_STAGES * self.step_block.num_bytes
        rows_address = self.settings_address + self.settings_block.num_bytes
        assert rows_address + self.rows_block.num_bytes == base + plan.inputs_bytes
        self.tables = {
            **addresses_of(self.settings_address, self.settings_block.offsets()),
            **addresses_of(rows_address, self.rows_block.offsets()),
        }

    def slot(self, index: int) -> int:
        """Where a slot of the arena is."""
        return self._arena + self._slot_offsets[index]

    def address(self, buffer: Buffer, places: Places) -> int:
        """Where a launch finds a buffer."""
        match buffer:
            case SlotBuffer(slot):
                return places.slots.get(slot, self.slot(slot))
            case WeightBuffer(name):
                return self.weights[name]
            case InputBuffer(name):
                return places.inputs[name]
            case CacheBuffer(group, layer):
                return self._caches[group] + layer * self._layer_bytes[group]

    def num_bytes(self, buffer: Buffer) -> int:
        """What a launch may read from a buffer's start on, whatever the step's size."""
        match buffer:
            case SlotBuffer(slot):
                return self._slot_bytes[slot]
            case WeightBuffer(name):
                return self._weight_bytes[name]
            case CacheBuffer(group, _):
                return self._layer_bytes[group]
            case InputBuffer(name):
                raise AssertionError(f"the input {name} is read by pointers")
