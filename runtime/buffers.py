"""The memory of a load: arena slots, key-value pages, inputs and weights, and their addresses."""

from typing import Any

from numpy.typing import NDArray

from ..artifact import (
    Buffer,
    CacheBuffer,
    InputBuffer,
    SlotBuffer,
    Target,
    WeightBuffer,
)
from ..kvcache.budget import bytes_per_page
from .layout import Sizes, input_views, lay_out_arena, lay_out_inputs
from .memory import Bytes, allocate
from .plan import MemoryPlan
from .weights import LoadedWeights


class Buffers:
    """Owns everything that a tape may point at; an address is valid as long as this lives."""

    def __init__(self, target: Target, plan: MemoryPlan, weights: LoadedWeights) -> None:
        self._target, self._weights = target, weights
        layout = lay_out_arena(target.slots, plan.sizes)
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
        self._inputs_memory, self.inputs = _allocate_inputs(target, plan.sizes)

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


def _allocate_inputs(target: Target, sizes: Sizes) -> tuple[Bytes, dict[str, NDArray[Any]]]:
    """The memory of all inputs, and a flat view of each."""
    memory = allocate(lay_out_inputs(target.inputs, sizes).num_bytes, "the inputs")
    return memory, input_views(target.inputs, sizes, memory)


def _address_of(array: Bytes | NDArray[Any]) -> int:
    return int(array.ctypes.data)
