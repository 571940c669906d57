"""Tables of the slots on the device: filled on the host, and what changed is copied."""

from ..frame import Arrival, Frame
from ..memory import Bytes, allocate
from ..plan import MemoryPlan
from ..slot_tables import SlotTables
from .device import Device
from .inputs import addresses_of
from .memory import DeviceMemory

_ENTRY_BYTES = 4  # of every table of rows
_EDITS = ("edit_tokens", "edit_values", "edit_ends", "edit_prefix_starts", "edit_prefixes")


class DeviceSlots:
    """A copy of the tables in the host's memory, and the device's that follow it.

    A row is written when a sequence takes its slot, and no step in flight speaks of that slot
    then. So what is copied ahead of these steps, or more often than needed, is never seen by them.
    """

    def __init__(self, device: Device, memory: DeviceMemory, plan: MemoryPlan) -> None:
        self._device, self._addresses = device, memory.tables
        self._settings_address = memory.settings_address
        self._settings = allocate(memory.settings_block.num_bytes, "settings of the slots")
        tables = allocate(memory.rows_block.num_bytes, "tables of the slots")
        rows = memory.rows_block.views(tables)
        self._widths = {name: row.size // plan.max_num_seqs for name, row in rows.items()}
        self._sources = addresses_of(tables.ctypes.data, memory.rows_block.offsets())
        views = memory.settings_block.views(self._settings) | rows
        self._tables = SlotTables(views, plan.max_num_seqs)

    def update(self, frame: Frame, staging: Bytes) -> None:
        """Queues what a frame's arrivals and masks change; `staging` is pinned and free."""
        if not frame.arrivals and not frame.masks:
            return
        for arrival in frame.arrivals:
            self._tables.occupy(arrival)
            self._copy_rows(arrival)
        for slot, mask in frame.masks:
            self._tables.set_mask(slot, mask)
            self._copy_row("masks", slot)
        staging[:] = self._settings
        self._device.copy_ahead(self._settings_address, staging)

    def _copy_rows(self, arrival: Arrival) -> None:
        self._copy("token_table", arrival.first_place, len(arrival.token_ids))
        if arrival.sampling.edits is not None:
            for name in _EDITS:
                self._copy_row(name, arrival.slot)
        if arrival.sampling.mask is not None:
            self._copy_row("masks", arrival.slot)

    def _copy_row(self, name: str, slot: int) -> None:
        self._copy(name, slot * self._widths[name], self._widths[name])

    def _copy(self, name: str, first: int, count: int) -> None:
        """From memory that is not pinned: the driver has read it when the call returns."""
        start, num_bytes = _ENTRY_BYTES * first, _ENTRY_BYTES * count
        places = self._addresses[name] + start, self._sources[name] + start
        self._device.call("copy_ahead", *places, num_bytes)
