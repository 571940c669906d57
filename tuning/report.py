"""What `tapeout tune` found, for people and as a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from ..artifact.tuning_table import Device, Entry, Key
from ..runtime.units import counted
from .fates import Fate
from .imported import Imported

_FATES: dict[Fate, str] = {
    "kept": "kept",
    "not confirmed": "not faster once confirmed",
    "taken back": "not faster in whole steps",
    "waiting": "not checked in whole steps yet",
}


class TuneReport(msgspec.Struct, frozen=True, kw_only=True):
    """A search, and what it left."""

    device: Device
    memory_bytes_per_s: float | None
    opening_s: float  # until the first kernel could be tried
    elapsed_s: float
    num_works: int
    imported: Imported | None = None  # None: no table was
    outcomes: dict[str, int]  # of candidates, by all searches: faster, slower, wrong or failed
    num_tried: int  # of candidates, by this search
    fates: dict[Fate, int]  # of kernels and shapes with a candidate that was faster alone
    entries: list[Entry]  # those that stay
    step_ratios: dict[str, float]  # of whole steps' times with them, to those before
    taken_back: list[Key]  # entries with which whole steps were no faster
    not_checked: list[str]  # steps with entries for which there was no time: they wait
    num_untried: int  # kernels and shapes of which nothing was tried
    num_left: int  # configurations that were not tried
    table: str
    artifact: str | None = None  # the new one

    def text(self) -> str:
        """A table to read, the largest gain first."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        device = self.device
        yield f"{device.name} ({device.arch}, {device.num_units} units), {self.elapsed_s:.0f} s"
        yield f"{_pairs(self.num_works)}; candidates tried: {self._tried() or 'none'}"
        yield self._fate_line()
        yield from self._entry_lines()
        for steps, ratio in self.step_ratios.items():
            yield f"whole steps of {steps}: {1 / ratio:.3f} times as fast as before"
        for steps, count in Counter(key.steps for key in self.taken_back).items():
            yield f"whole steps of {steps} were no faster with {count} more: taken back"
        yield from self._left_lines()
        yield f"the table is {self.table}"
        if self.artifact is not None:
            as_before = "" if self.entries else ", whose kernels are as before: nothing was kept"
            yield f"the new artifact is {self.artifact}{as_before}"

    def _tried(self) -> str:
        names = {"faster": "faster alone"}
        outcomes = sorted(self.outcomes.items())
        return ", ".join(f"{count} {names.get(name, name)}" for name, count in outcomes)

    def _fate_line(self) -> str:
        total = sum(self.fates.values())
        if not total:
            return "none is faster than the configuration that the artifact has"
        found = {"kept": self.fates.get("kept", 0) or "none"} | self.fates
        told = ", ".join(f"{found[fate]} {text}" for fate, text in _FATES.items() if fate in found)
        return f"{_pairs(total)} had a candidate that was faster alone: {told}"

    def _left_lines(self) -> Iterator[str]:
        """What there was no time for."""
        if self.not_checked:
            steps = ", ".join(self.not_checked)
            yield f"no time was left to check what was found in whole steps of {steps}: it waits"
        if self.num_untried:
            yield f"nothing was tried of {_pairs(self.num_untried)}"
        if self.not_checked or self.num_left:
            yield f"{self.num_left} configurations are left; the same command goes on from here"
        if not self.num_tried and (self.not_checked or self.num_left):
            left = " and left no time to try or check"
            if self.step_ratios or self.taken_back:
                left = ", checks of whole steps left no time to try"
            opening = f"opening the artifact took {self.opening_s:.1f} s"
            yield f"{opening}{left} anything: give a longer --budget"

    def _entry_lines(self) -> Iterator[str]:
        if not self.entries:
            return
        names = {entry.key: _name(entry) for entry in self.entries}
        width = max(map(len, ["kernel", *names.values()]))
        yield f"{'kernel':<{width}}{'before us':>11}{'after us':>10}{'faster':>8}{'roofline':>14}"
        for entry in sorted(self.entries, key=lambda entry: entry.time_s / entry.before_s):
            yield f"{names[entry.key]:<{width}}{_figures(entry)}"


def _pairs(count: int) -> str:
    return counted(count, "pair") + " of kernel and shape"


def _name(entry: Entry) -> str:
    shape = "x".join(map(str, entry.key.shape))
    return f"{entry.key.kernel} {shape} {entry.key.dtype} {entry.key.steps}"


def _figures(entry: Entry) -> str:
    times = f"{entry.before_s * 1e6:>11.2f}{entry.time_s * 1e6:>10.2f}"
    share = "-"
    if entry.roofline is not None and entry.roofline_before is not None:
        share = f"{entry.roofline_before:.0%} to {entry.roofline:.0%}"
    return f"{times}{entry.before_s / entry.time_s:>7.2f}x{share:>14}"
