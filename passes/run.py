"""Runs stages of passes; verifies after each, and on request compares and records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InputError
from ..ir.graph import Module
from ..ir.verify import VerifyError, verify
from .base import Pass, Report, Stage
from .fusions import EXPLAINS

Check = Callable[[Module, Module], None]
"""Compares the module before a pass with the one after it; raises where they differ."""


def run_stages(
    module: Module, stages: Sequence[Stage], check: Check | None = None
) -> tuple[Module, list[Report]]:
    """Run every pass of every stage in order.

    Raises VerifyError naming the pass when its result breaks a rule of the IR.
    """
    reports = [Report("trace", "traced", 1, module)]
    for stage in stages:
        for one in stage.passes:
            before = module
            module, count = one(before)
            _verify(module, stage, one)
            if check and count:
                check(before, module)
            misses = tuple(EXPLAINS[one](module)) if one in EXPLAINS else ()
            reports.append(Report(stage.name, name_of(one), count, module, misses))
    return module, reports


def name_of(one: Pass) -> str:
    """The pass's name, as reports and files show it."""
    return getattr(one, "__name__", str(one))


def _verify(module: Module, stage: Stage, one: Pass) -> None:
    try:
        verify(module)
    except VerifyError as error:
        raise VerifyError(f"after {stage.name}/{name_of(one)}: {error}") from error


def dump(reports: Sequence[Report], folder: Path) -> None:
    """Write ``NN_<pass>.ir`` for the trace and for each pass that rewrote something.

    Files of an earlier build go. Raises InputError when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[0-9][0-9]_*.ir"):
            old.unlink()
        for number, report in enumerate(reports):
            if report.rewrites:
                (folder / f"{number:02}_{report.name}.ir").write_text(str(report.module))
    except OSError as error:
        is_file = isinstance(error, FileExistsError)
        reason = "it is no folder" if is_file else error.strerror or error
        remedy = "give a folder that can be written"
        raise InputError(f"dump_ir={str(folder)!r}: {reason}; {remedy}") from None
