"""Sums the launches of each kernel of a step up, and holds them against what the card can do."""

from collections.abc import Sequence

import msgspec

from ..artifact import Launch
from .device_limits import DeviceLimits
from .kernel_costs import LaunchCosts

TimedLaunches = Sequence[tuple[Launch, float]]  # with the seconds of each


class KernelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel in one step, all its launches together. None is what no record can say."""

    name: str
    num_launches: int
    time_s: float
    share: float  # of the time of all launches
    bytes: int | None = None
    flops: int | None = None
    bytes_per_s: float | None = None
    flops_per_s: float | None = None
    roofline: float | None = None  # the least time that the card's limits allow, of the real one


def rows_of(
    timed: TimedLaunches, costs: LaunchCosts, card: DeviceLimits | None, dtype: str
) -> list[KernelRow]:
    """A row for each kernel, the longest first; no roofline without a card's limits."""
    total_s = sum(time_s for _, time_s in timed)
    kernels: dict[str, list[tuple[Launch, float]]] = {}
    for launch, time_s in timed:
        kernels.setdefault(launch.kernel, []).append((launch, time_s))
    rows = [_row(own, costs, card, dtype, total_s) for own in kernels.values()]
    return sorted(rows, key=lambda row: -row.time_s)


def _row(
    timed: TimedLaunches, costs: LaunchCosts, card: DeviceLimits | None, dtype: str, total_s: float
) -> KernelRow:
    name, time_s = timed[0][0].kernel, sum(seconds for _, seconds in timed)
    num_bytes, flops = map(_sum, zip(*(costs.of(launch) for launch, _ in timed), strict=True))
    least_s = None
    if card is not None and num_bytes is not None:
        least_s = max(num_bytes / card.bytes_per_s, (flops or 0) / card.flops_per_s[dtype])
    return KernelRow(
        name=name,
        num_launches=len(timed),
        time_s=time_s,
        share=time_s / total_s,
        bytes=num_bytes,
        flops=flops,
        bytes_per_s=_per(num_bytes, time_s),
        flops_per_s=_per(flops, time_s),
        roofline=_per(least_s, time_s),
    )


def _sum(values: Sequence[int | None]) -> int | None:
    """None if a value is."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _per(value: float | None, time_s: float) -> float | None:
    """None also for launches too short to be told from noise."""
    return value / time_s if value is not None and time_s > 0 else None
