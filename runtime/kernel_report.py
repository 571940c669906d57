"""What `tapeout bench kernels` found, for people and as a record."""

from collections.abc import Iterable

import msgspec

from .kernel_rows import KernelRow


class KernelsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The kernels of a step, the longest first."""

    target: str
    device: str
    num_tokens: int
    num_seqs: int
    context: tuple[int, int]  # the shortest and the longest of the sequences, in tokens
    step_s: float  # of the step as the engine runs it
    launches_s: float  # of all launches
    num_launches: int
    launches_per_layer: float  # of kernels that are launched more than once
    bytes: int  # of all that is known
    memory_bytes_per_s: float | None  # by the card's data sheet; None for one not known
    kernels: list[KernelRow]

    def text(self) -> str:
        """A table to read."""
        width = max(len("kernel"), *(len(row.name) for row in self.kernels))
        head = f"{'kernel':<{width}}{'launches':>9}{'us each':>10}{'us':>10}{'share':>7}"
        shortest, longest = self.context
        return "\n".join(
            [
                f"{self.target} on {self.device}: {self.num_tokens} tokens of {self.num_seqs} "
                f"sequences, {shortest} to {longest} tokens of context",
                f"{head}{'MB':>10}{'TB/s':>7}{'TFLOP/s':>9}{'roofline':>9}",
                *(_line(row, width) for row in self.kernels),
                *self._totals(),
            ]
        )

    def _totals(self) -> Iterable[str]:
        yield (
            f"{self.num_launches} launches, {self.launches_per_layer:.1f} a layer: "
            f"{self.launches_s * 1e6:.1f} us, {self.launches_s / self.step_s:.3f} times the "
            f"{self.step_s * 1e6:.1f} us of the step"
        )
        yield (
            f"{self.bytes / 1e6:.1f} MB are known: {self.bytes / self.step_s / 1e12:.2f} TB/s of "
            "the step's time"
        )
        if self.memory_bytes_per_s is None:
            yield f"no roofline: the limits of {self.device} are not known"
        yield "-: not known"


def _line(row: KernelRow, width: int) -> str:
    each_us = row.time_s / row.num_launches * 1e6
    return (
        f"{row.name:<{width}}{row.num_launches:>9}{each_us:>10.2f}{row.time_s * 1e6:>10.1f}"
        f"{row.share:>7.1%}{_scaled(row.bytes, 1e6, 10, 2)}{_scaled(row.bytes_per_s, 1e12, 7, 2)}"
        f"{_scaled(row.flops_per_s, 1e12, 9, 1)}"
        f"{'-' if row.roofline is None else f'{row.roofline:.0%}':>9}"
    )


def _scaled(value: float | None, unit: float, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value / unit:>{width}.{digits}f}"
