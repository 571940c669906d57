"""Configurations that tuning has found, by the keys of kernels: from a table, one of ours, or an
artifact that was compiled with one.

Tables that ship are in `codegen/tuned/`, one for each card, made by `tapeout tune` on it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from ..artifact import Artifact
from ..artifact.choices import read_choices
from ..artifact.tuning_table import Configuration, Key, Table, read_table
from ..errors import InputError

SHIPPED = {path.stem: path for path in sorted((Path(__file__).parent / "tuned").glob("*.json"))}
"""Tables by the names that `tapeout compile --tuning` takes beside paths."""


class Tuned(NamedTuple):
    """A configuration, the name of the device that it was the fastest on, and its time there."""

    configuration: Configuration
    device: str
    time_s: float | None = None


def named_table(tuning: str | os.PathLike[str]) -> Table:
    """The table of that name or path. Raises InputError where there is none, or ArtifactError."""
    name = os.fspath(tuning)
    if name not in SHIPPED and not Path(name).exists():
        raise InputError(
            f"tuning={name!r} is no file, and no table that ships; those are "
            f"{', '.join(SHIPPED)}: give one of them, or what `tapeout tune --export` wrote"
        )
    return read_table(SHIPPED.get(name, Path(name)))


def open_table(tuning: str | os.PathLike[str], archs: Collection[str]) -> Table:
    """The same, if it knows a device that runs code for one of ``archs``.

    Else it would be of no use: an InputError says so.
    """
    table = named_table(tuning)
    known = dict.fromkeys(entries.device.arch for entries in table.devices)
    if not set(archs) & set(known):
        raise InputError(
            f"tuning={os.fspath(tuning)!r} has kernels for {', '.join(known) or 'no device'}, not "
            f"for {', '.join(archs)}; tune on such a device, or leave it out"
        )
    return table


def tuned_for(table: Table, arch: str) -> Mapping[Key, Tuned]:
    """What a table has for code for ``arch``; where its devices disagree, the first has its way."""
    known = [entries for entries in table.devices if entries.device.arch == arch]
    return {
        entry.key: Tuned(entry.configuration, entries.device.name, entry.time_s)
        for entries in reversed(known)
        for entry in entries.entries
    }


def tuned_in(artifact: Artifact, target: str, arch: str) -> Mapping[Key, Tuned]:
    """What kernels of an artifact have from tables, in code for ``arch``. Raises ArtifactError."""
    return {
        choice.key: Tuned(choice.configuration, choice.device, choice.time_s)
        for choice in read_choices(artifact, target)
        if choice.device is not None and choice.level in (None, arch)
    }
