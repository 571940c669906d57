"""What `tapeout bench startup` found, for people and as a record."""

from collections.abc import Iterator
from itertools import accumulate

import msgspec


class StartupRun(msgspec.Struct, frozen=True, kw_only=True):
    """A process from its start to its first token."""

    interpreter_s: float  # until it could import
    import_s: float
    load_s: dict[str, float]  # by what was done, in order
    first_token_s: float
    total_s: float

    def parts(self) -> dict[str, float]:
        """What it did, one after the other."""
        return {
            "interpreter": self.interpreter_s,
            "import": self.import_s,
            **{f"load: {name}": seconds for name, seconds in self.load_s.items()},
            "first token": self.first_token_s,
        }


class StartupReport(msgspec.Struct, frozen=True, kw_only=True):
    """The first run stands alone: it may have to read the files from a disk."""

    target: str
    num_repeats: int  # runs after the first
    first: StartupRun
    median: StartupRun  # the one of the repeats that is their median by its total
    slowest_s: float  # of the repeats
    device_bytes: dict[str, int]  # that a GPU has lent, by what for

    def text(self) -> str:
        """A time line to read."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        first, median = self.first.parts(), self.median.parts()
        yield (
            f"{self.target}: the first token {self.median.total_s:.3f} s after the start of a "
            f"process, the median of {self.num_repeats}; {self.first.total_s:.3f} s in a first run"
        )
        yield f"{'ms':<24}{'first run':>10}{'median':>10}{'until':>10}"
        until = accumulate(median.values())
        for (name, seconds), end_s in zip(median.items(), until, strict=True):
            yield _line(name, first[name], seconds, end_s)
        yield _line("all", self.first.total_s, self.median.total_s)
        if self.device_bytes:
            lent = (f"{name} {size / 2**20:.0f} MiB" for name, size in self.device_bytes.items())
            yield f"memory of the device: {', '.join(lent)}"


def _line(name: str, *times_s: float) -> str:
    return f"{name:<24}{''.join(f'{seconds * 1e3:>10.1f}' for seconds in times_s)}"
