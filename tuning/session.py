"""`tapeout tune`: a search over an artifact, and what becomes of what it finds.

The artifact stays as it is. Beside it lie the journal, from which a search goes on, and the table.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from ..artifact.beside import beside, check_file, check_place, write_whole
from ..artifact.files import lock_folder
from ..artifact.schema import MANIFEST_DIGEST
from ..artifact.staging import check_replaceable
from ..artifact.tuning_table import (
    Device,
    DeviceEntries,
    Key,
    Table,
    merge,
    read_table,
    write_table,
)
from ..codegen.tuned_kernels import named_table
from ..errors import InputError
from .fates import fates_of
from .imported import Imported, configurations, imported_for
from .journal import Begun, Journal
from .plot import render_plot
from .rebuild import rebuild
from .report import TuneReport
from .search import Progress, Search
from .spaces import open_space


class TuneOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a search. Raises InputError naming a bad value."""

    budget_s: float = 300.0
    imports: Sequence[
        str | Path
    ] = ()  # tables, or names of ours, whose configurations are tried first
    export: Path | None = None  # a table that takes in what is found
    output: Path | None = None  # a new artifact
    plot: Path | None = None  # an SVG
    num_threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.budget_s < float("inf"):
            raise InputError(f"budget={self.budget_s} s is not allowed; give more than 0")


def tune(
    artifact: Path,
    options: TuneOptions,
    report: Callable[[Progress], None],
    started_s: float | None = None,
    note: Callable[[Imported], None] = lambda imported: None,
) -> TuneReport:
    """Searches, and writes what was asked for. The budget runs from ``started_s`` on, of the
    monotonic clock, by default from now. ``note`` is told before the search what tables bring.

    An interruption leaves the journal, and the next search of the artifact goes on from there.
    Raises InputError, ArtifactError, CapacityError or BuildError.
    """
    started_s = time.monotonic() if started_s is None else started_s
    _check_outputs(options)
    journal_path, table_path = (beside(artifact, f"tuning.{kind}") for kind in ("jsonl", "json"))
    imported = merge(named_table(table) for table in options.imports)
    known = read_table(options.export) if options.export and options.export.exists() else Table()
    with _alone(artifact), open_space(artifact, options.num_threads) as space:
        device, rate = space.device, space.memory_bytes_per_s
        journal = Journal(journal_path, _begun(artifact, device))
        check_file(table_path)
        num_known = len(journal.trials)
        search = Search(space, journal, configurations(imported, device), report)
        brought = None
        if options.imports:
            brought = imported_for(imported, device, search.keys, search.unknown)
            note(brought)
        opening_s = time.monotonic() - started_s
        checks = search.run(options.budget_s, opening_s)
    entries = list(search.entries.values())
    own = merge(
        [Table(devices=[DeviceEntries(device=device, memory_bytes_per_s=rate, entries=entries)])]
    )
    table = merge([own, _without(imported, device, search.answered)])
    write_table(table, table_path)
    if options.export is not None:
        write_table(merge([table, known]), options.export)
    if options.plot is not None:
        svg = render_plot(entries, f"{artifact.name} on {device.name}")
        write_whole(options.plot, svg.encode())
    made = rebuild(artifact, options.output, own) if options.output is not None else None
    return TuneReport(
        device=device,
        memory_bytes_per_s=rate,
        opening_s=opening_s,
        elapsed_s=time.monotonic() - started_s,
        num_works=len(search.keys),
        imported=brought,
        outcomes=Counter(line.outcome for line in journal.trials),
        num_tried=len(journal.trials) - num_known,
        fates=fates_of(journal.lines, search.entries),
        entries=entries,
        step_ratios=checks.ratios,
        taken_back=checks.taken_back,
        not_checked=checks.not_checked,
        num_untried=search.num_untried,
        num_left=search.num_left,
        table=str(table_path),
        artifact=None if made is None else str(made),
    )


def _check_outputs(options: TuneOptions) -> None:
    """Refuses, before a search, what could not be written after it."""
    for path in (options.export, options.plot):
        if path is not None:
            check_file(path)
    if options.output is not None:
        check_place(options.output)
        check_replaceable(options.output)


@contextmanager
def _alone(artifact: Path) -> Iterator[None]:
    """Refuses a second search of an artifact while a block lasts: each would disturb the other's
    times. Raises InputError."""
    with ExitStack() as stack:
        with suppress(OSError):  # what is no folder is refused later, by name
            lock = lock_folder(artifact)
            if lock is None:
                raise InputError(
                    f"{artifact} is being tuned by another process; wait until that has ended, or "
                    "interrupt it: what it found stays in the journal"
                )
            stack.callback(os.close, lock)
        yield


def _begun(artifact: Path, device: Device) -> Begun:
    return Begun(artifact_digest=(artifact / MANIFEST_DIGEST).read_text().strip(), device=device)


def _without(table: Table, device: Device, keys: Collection[Key]) -> Table:
    """A table without the entries that the search itself has answered."""
    devices = []
    for known in table.devices:
        entries = [one for one in known.entries if known.device != device or one.key not in keys]
        devices.append(msgspec.structs.replace(known, entries=entries))
    return Table(devices=devices)
