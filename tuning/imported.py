"""What imported tables have for the kernels of an artifact."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from ..artifact.tuning_table import Configuration, Device, DeviceEntries, Key, Table


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """How many configurations the tables have, and for what."""

    arch: str  # what the artifact's kernels are compiled for here
    archs: list[str]  # those of the tables' devices
    num_configurations: int  # of all devices
    num_of_kernels: int  # for kernels of the artifact and devices like this one
    num_unknown: int  # of these, that are no candidates here

    def text(self) -> str:
        """A line to read, with a remedy where none can be tried."""
        counts = f"{self.num_of_kernels or 'none'} of {self.num_configurations}"
        said = f"{counts} imported configurations are for kernels of this artifact on {self.arch}"
        if self.num_of_kernels:
            but = f", but for {self.num_unknown} that are no candidates here"
            return f"{said}: they are tried first{but * bool(self.num_unknown)}"
        known = "kernels of other models or types"
        if self.arch not in self.archs:
            known = ", ".join(self.archs) or "nothing"
        return f"{said}: the tables are for {known}; import one of this model on such a device"


def configurations(table: Table, device: Device) -> dict[Key, Configuration]:
    """What shall be tried first: what was best on such a device, else on one like it."""
    alike = sorted(_alike(table, device), key=lambda known: known.device == device)
    return {entry.key: entry.configuration for known in alike for entry in known.entries}


def imported_for(
    table: Table, device: Device, keys: Collection[Key], unknown: Collection[Key] = ()
) -> Imported:
    """What a table has for kernels of these keys on a device; of ``unknown`` it is no candidate."""
    found = [entry for known in _alike(table, device) for entry in known.entries]
    return Imported(
        arch=device.arch,
        archs=sorted({known.device.arch for known in table.devices}),
        num_configurations=sum(len(known.entries) for known in table.devices),
        num_of_kernels=sum(entry.key in keys for entry in found),
        num_unknown=len(unknown),
    )


def _alike(table: Table, device: Device) -> Iterator[DeviceEntries]:
    return (known for known in table.devices if known.device.arch == device.arch)
