"""Which value is where in the arena during a tape: what the memory plan has come to.

A tape names slots alone. What a slot holds follows from what the kernels' buffers are: a result or
a workspace begins a value there, and the last launch that names the slot before another begins
ends it.
"""

import msgspec

from ..artifact import SlotBuffer, Tape, Target
from .region_text import RegionText

MADE = ("result", "workspace")


class Life(msgspec.Struct):
    """A value in its slot, from the launch that makes it to the last one that uses it."""

    slot: int
    first: int  # launch; of what comes from another tape, the tape's first
    last: int
    name: str
    type: str  # in IR text; empty for workspaces, and what comes from another tape
    region: str  # whose value it is; empty for what comes from another tape


def lives_of(tape: Tape, target: Target) -> list[Life]:
    """The values of a tape, in the order in which they begin; none if nobody told the operands."""
    kernels = {kernel.name: kernel for kernel in target.kernels}
    regions = {kernel.name: RegionText(kernel.math) for kernel in target.kernels}
    outputs = {slot: name for name, slot in target.outputs.items()}
    lives: list[Life] = []
    held: dict[int, Life] = {}
    for number, launch in enumerate(tape.launches):
        kernel = kernels[launch.kernel]
        for buffer, operand in zip(launch.buffers, kernel.operands, strict=False):
            if not isinstance(buffer, SlotBuffer):
                continue
            life, slot = held.get(buffer.slot), buffer.slot
            if operand.kind in MADE:
                value = regions[kernel.name].value(operand)
                if not _goes_on(life, number, kernel.region, value.name):
                    life = Life(slot, number, number, *value, kernel.region)
            elif life is None:
                life = Life(slot, 0, number, outputs.get(slot, "from before"), "", "")
            assert life is not None, "what goes on has begun"
            if held.get(slot) is not life:
                lives.append(life)
                held[slot] = life
            life.last = number
    for slot in outputs.keys() & held.keys():
        held[slot].last = len(tape.launches) - 1
    return lives


def _goes_on(life: Life | None, number: int, region: str, name: str) -> bool:
    """Whether a launch fills up what a launch of the same call of a region has begun."""
    return (
        life is not None and (life.region, life.name) == (region, name) and life.last >= number - 1
    )
