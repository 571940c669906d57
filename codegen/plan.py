"""Places the values of a tape in arena slots: values that live at once never share one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..ir.types import Dim
from .tape import Place, TapeLaunch, Unrolled


@dataclass
class Slot:
    """A piece of the arena, as large as the largest of ``sizes``."""

    sizes: set[Dim] = field(default_factory=set)

    def json(self) -> list[dict[str, int]]:
        """Its sizes as an artifact stores them, without those that another covers."""
        kept = [s for s in self.sizes if not any(_covers(o, s) for o in self.sizes - {s})]
        return [size.to_json() for size in sorted(kept, key=str)]


@dataclass
class Plan:
    """The slots, and the slot of each value."""

    slots: list[Slot]
    slot_of: dict[int, int]


def plan_slots(tape: Unrolled, pinned: Iterable[Place] = ()) -> Plan:
    """A slot for each value. Values in ``pinned`` keep theirs for ever, for they leave the step.

    Greedy: walk the launches; a value takes a slot that is free by then, best one that has held
    its size before; its slot is free again after the last launch that names it.
    """
    last_use = _last_uses(tape.launches)
    kept = {place.name for place in pinned if place.kind == "value"}
    plan, free = Plan([], {}), list[int]()
    for number, launch in enumerate(tape.launches):
        values = list(dict.fromkeys(p.name for p in launch.buffers if p.kind == "value"))
        for value in values:
            if value not in plan.slot_of:
                _place(plan, free, int(value), tape.value_bytes[int(value)], value in kept)
        free += [plan.slot_of[int(v)] for v in values if last_use[v] == number and v not in kept]
    return plan


def _last_uses(launches: Sequence[TapeLaunch]) -> dict[int | str, int]:
    return {
        place.name: number
        for number, launch in enumerate(launches)
        for place in launch.buffers
        if place.kind == "value"
    }


def _place(plan: Plan, free: list[int], value: int, size: Dim, kept: bool) -> None:
    if free and not kept:
        slot = max(free, key=lambda s: _fitness(plan.slots[s], size))
        free.remove(slot)
    else:
        slot = len(plan.slots)
        plan.slots.append(Slot())
    plan.slots[slot].sizes.add(size)
    plan.slot_of[value] = slot


def _fitness(slot: Slot, size: Dim) -> tuple[bool, bool, int]:
    """Held this size before; a larger one; grows with the same symbols."""
    alike = sum(dict(s.terms).keys() == dict(size.terms).keys() for s in slot.sizes)
    return size in slot.sizes, any(_covers(s, size) for s in slot.sizes), alike


def _covers(larger: Dim, smaller: Dim) -> bool:
    """True when ``larger`` is at least ``smaller`` for all sizes of the symbols."""
    difference = larger - smaller
    return difference.const >= 0 and all(factor > 0 for _, factor in difference.terms)
