"""Folds what is launched again and again: the layers of a model, as one of them and a count."""

from collections.abc import Hashable, Sequence

import msgspec

from ..artifact import Buffer, CacheBuffer, Launch, SlotBuffer, WeightBuffer


class Run(msgspec.Struct, frozen=True):
    """So many launches from the `first` on, and how often they come, one time after the other."""

    first: int
    num_launches: int  # of one time
    count: int


def fold(launches: Sequence[Launch]) -> list[Run]:
    """The runs that make up a tape: launches that differ in layer and slots alone come once."""
    keys = [msgspec.json.encode(_key(launch)) for launch in launches]
    runs: list[Run] = []
    at = 0
    while at < len(keys):
        run = _longest_repeat(keys, at)
        if run.count == 1 and runs and runs[-1].count == 1:  # joins the launch before it
            run = Run(runs[-1].first, runs.pop().num_launches + 1, 1)
        runs.append(run)
        at = run.first + run.num_launches * run.count
    return runs


def _longest_repeat(keys: Sequence[Hashable], at: int) -> Run:
    """The repeat at a launch that takes in most launches; of two, the shorter one more often."""
    found = Run(at, 1, 1)
    for period in range(1, (len(keys) - at) // 2 + 1):
        num_alike = 0
        while at + period + num_alike < len(keys) and (
            keys[at + num_alike] == keys[at + period + num_alike]
        ):
            num_alike += 1
        count = num_alike // period + 1
        if count > 1 and count * period > found.count * found.num_launches:
            found = Run(at, period, count)
    return found


def _key(launch: Launch) -> object:
    buffers = [_without_layer(buffer) for buffer in launch.buffers]
    return launch.kernel, buffers, launch.scalars, launch.grid


def _without_layer(buffer: Buffer) -> object:
    match buffer:
        case WeightBuffer(name=name):
            return "weight", family_of(name)[0]
        case CacheBuffer(group=group):
            return "cache", group
        case SlotBuffer():
            return "slot"
    return buffer


def family_of(weight: str) -> tuple[str, int | None]:
    """The name of a weight in every layer, and which of its members it is."""
    family, _, member = weight.rpartition("/")
    return (family, int(member)) if family and member.isdecimal() else (weight, None)
