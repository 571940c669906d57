"""Tuning tables: which configuration of a kernel was the fastest on which device, one JSON file.

A table joins what several machines have found. Entries of one device compete, the shortest time
wins; those of different devices stand side by side. A configuration is a plain mapping whose names
only the code generator of the device's kind knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from ..errors import ArtifactError, InputError
from .beside import write_whole
from .schema import Strict, encode

TABLE_VERSION = 1

Configuration: TypeAlias = dict[str, int | bool]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]


class Device(Strict, frozen=True, kw_only=True, order=True):
    """The fingerprint of a device: times are compared between equal ones alone."""

    name: str  # as its driver, or the processor itself, says
    arch: str  # what kernels are compiled for: sm_90, or a CPU's level such as x86-64-v4
    num_units: int  # multiprocessors, or threads of a CPU


class Key(Strict, frozen=True, kw_only=True, order=True):
    """What is computed: kernels of equal keys do the same work, in whatever model they are."""

    kernel: str  # the ops in order, with what comes before and after: `linear silu linear mul`
    shape: tuple[int, ...]  # of the anchor, as `codegen/tuning_key.py` says for each kind
    dtype: str  # of what the anchor reads
    steps: str  # the steps that it is made for: a GPU's variant, or a CPU's bucket of rows
    batch_invariant: bool


class Entry(Strict, frozen=True, kw_only=True):
    """The best configuration found for a key, timed in turns with the one the compiler chooses."""

    key: Key
    configuration: Configuration
    time_s: Seconds  # of a launch
    before_s: Seconds  # of one with the artifact's own choice
    least_s: Seconds | None  # what the device's limits allow; None: no record can say

    @property
    def roofline(self) -> float | None:
        """The share of the device's limits that is reached."""
        return None if self.least_s is None else self.least_s / self.time_s

    @property
    def roofline_before(self) -> float | None:
        """The share that the artifact's own choice reaches."""
        return None if self.least_s is None else self.least_s / self.before_s


class DeviceEntries(Strict, frozen=True, kw_only=True):
    """What is known of one device; a key has one entry, and they are sorted by their keys."""

    device: Device
    memory_bytes_per_s: float | None  # when it was tuned last; no part of the fingerprint
    entries: list[Entry]


class Table(Strict, frozen=True, kw_only=True):
    """The devices of a table, sorted by their fingerprints."""

    version: int = TABLE_VERSION
    devices: list[DeviceEntries] = []


def merge(tables: Iterable[Table]) -> Table:
    """One table of all that several know; of equal times the first table's entry stays."""
    merged: dict[Device, DeviceEntries] = {}
    for table in tables:
        for found in table.devices:
            known = merged.get(found.device)
            merged[found.device] = _joined(known, found) if known else _sorted(found)
    return Table(devices=[merged[device] for device in sorted(merged)])


def _joined(known: DeviceEntries, found: DeviceEntries) -> DeviceEntries:
    best = {entry.key: entry for entry in known.entries}
    for entry in found.entries:
        if entry.key not in best or entry.time_s < best[entry.key].time_s:
            best[entry.key] = entry
    rate = found.memory_bytes_per_s or known.memory_bytes_per_s
    return _sorted(
        DeviceEntries(device=known.device, memory_bytes_per_s=rate, entries=[*best.values()])
    )


def _sorted(known: DeviceEntries) -> DeviceEntries:
    ordered = sorted(known.entries, key=lambda entry: entry.key)
    return msgspec.structs.replace(known, entries=ordered)


def read_table(path: str | os.PathLike[str]) -> Table:
    """The table in a file. Raises InputError when there is none, ArtifactError when it is bad."""
    path = Path(path)
    try:
        table = msgspec.json.decode(path.read_bytes(), type=Table)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: {reason}; give a table that `tapeout tune` made") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        remedy = "give a table that `tapeout tune --export` wrote"
        raise ArtifactError(path, "JSON", str(error), "a tuning table", remedy) from None
    if table.version != TABLE_VERSION:
        remedy = "tune anew, or use the tapeout that wrote it"
        raise ArtifactError(path, "version", table.version, TABLE_VERSION, remedy)
    return merge([table])


def write_table(table: Table, path: str | os.PathLike[str]) -> None:
    """Writes a table in one step: who reads meanwhile has the old one. Raises InputError."""
    write_whole(Path(path), encode(table))
