"""Sums the launches of each kernel of a step up, and holds them against what the card can do."""

from collections.abc import Sequence

import msgspec

from ..artifact import Launch
from .cuda.card_limits import CardLimits
from .kernel_costs import Cost, RegionCosts

TimedLaunches = Sequence[tuple[Launch, float]]  # with the seconds of each


class KernelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel in one step, all its launches together.

    Costs are its region's, and rates those over the time of all of the region's kernels: they are
    in the row of the longest. None is what no record can say.
    """

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
    timed: TimedLaunches, costs: RegionCosts, card: CardLimits | None, dtype: str
) -> list[KernelRow]:
    """A row for each kernel, the longest first; no roofline without a card's limits."""
    total_s = sum(time_s for _, time_s in timed)
    rows = []
    for own in _grouped(timed, [costs.region_of(launch) for launch, _ in timed]):
        kernels = _grouped(own, [launch.kernel for launch, _ in own])
        first, *others = sorted((_row(kernel, total_s) for kernel in kernels), key=_longest_first)
        time_s = sum(seconds for _, seconds in own)
        cost = costs.of([launch for launch, _ in own])
        rows += [_with_rates(first, cost, time_s, card, dtype), *others]
    return sorted(rows, key=_longest_first)


def _longest_first(row: KernelRow) -> float:
    return -row.time_s


def _grouped(timed: TimedLaunches, keys: Sequence[str]) -> list[TimedLaunches]:
    groups: dict[str, list[tuple[Launch, float]]] = {}
    for key, entry in zip(keys, timed, strict=True):
        groups.setdefault(key, []).append(entry)
    return list(groups.values())


def _row(timed: TimedLaunches, total_s: float) -> KernelRow:
    name, time_s = timed[0][0].kernel, sum(seconds for _, seconds in timed)
    return KernelRow(name=name, num_launches=len(timed), time_s=time_s, share=time_s / total_s)


def _with_rates(
    row: KernelRow, cost: Cost, time_s: float, card: CardLimits | None, dtype: str
) -> KernelRow:
    least_s = None
    if card is not None and cost.bytes is not None:
        compute_s = (cost.flops or 0) / card.flops_per_s[dtype]
        least_s = max(cost.bytes / card.bytes_per_s, compute_s)
    return msgspec.structs.replace(
        row,
        bytes=cost.bytes,
        flops=cost.flops,
        bytes_per_s=_per(cost.bytes, time_s),
        flops_per_s=_per(cost.flops, time_s),
        roofline=_per(least_s, time_s),
    )


def _per(value: float | None, time_s: float) -> float | None:
    """None also for launches too short to be told from noise."""
    return value / time_s if value is not None and time_s > 0 else None
