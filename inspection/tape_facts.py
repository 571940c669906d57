"""A tape as a reader wants to see it: repeated layers once, and what each buffer is."""

import msgspec

from ..artifact import (
    Buffer,
    CacheBuffer,
    InputBuffer,
    Kernel,
    Launch,
    SlotBuffer,
    Tape,
    Target,
    WeightBuffer,
)
from ..artifact.schema import Expression, GridTerm
from .folding import Run, family_of, fold
from .predicted import StepFacts, largest_step, predict_on_cards, step_facts
from .slot_use import MADE, Life, lives_of


class BufferFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A buffer of a launch. What differs from layer to layer begins with `index`, and grows by
    `step` from one time to the next."""

    kind: str  # slot, weight, input or cache
    name: str
    is_written: bool = False
    index: int | None = None
    step: int = 0


class LaunchFacts(msgspec.Struct, frozen=True):
    """One call of a kernel."""

    kernel: str
    grid: list[GridTerm]
    scalars: list[Expression]
    buffers: list[BufferFacts]


class RunFacts(msgspec.Struct, frozen=True):
    """Launches that come `count` times, one time after the other, shown as they are the first."""

    first: int  # launch of all
    count: int
    slots_move: bool  # values are in other slots in some later time
    launches: list[LaunchFacts]


class TapeFacts(msgspec.Struct, frozen=True):
    """The launches of an entry function, for steps of some sizes."""

    name: str
    max_rows: int | None
    one_token_each: bool
    num_launches: int
    runs: list[RunFacts]
    lives: list[Life]  # their launches count those of `runs` alone, each of them once
    step: StepFacts  # the largest that it takes
    predicted_s: dict[str, list[float]]  # of that step, by card: of each launch of `runs`


def tape_facts(name: str, tape: Tape, target_name: str, target: Target, dtype: str) -> TapeFacts:
    """The record of a tape."""
    kernels = {kernel.name: kernel for kernel in target.kernels}
    runs, step = fold(tape.launches), largest_step(name, tape)
    shown = [one for run in runs for one in tape.launches[run.first : run.first + run.num_launches]]
    return TapeFacts(
        name,
        tape.max_rows,
        tape.one_token_each,
        len(tape.launches),
        [_run(run, tape.launches, kernels) for run in runs],
        _folded(lives_of(tape, target), runs),
        step_facts(step),
        predict_on_cards(shown, target_name, target, step, dtype),
    )


def _run(run: Run, launches: list[Launch], kernels: dict[str, Kernel]) -> RunFacts:
    end = run.first + run.num_launches
    again = launches[end : end + run.num_launches] if run.count > 1 else launches[run.first : end]
    shown = zip(launches[run.first : end], again, strict=True)
    times = range(run.first, run.first + run.num_launches * run.count, run.num_launches)
    slots = {_slots(launches[first : first + run.num_launches]) for first in times}
    return RunFacts(
        run.first,
        run.count,
        len(slots) > 1,
        [_launch(first, second, kernels[first.kernel]) for first, second in shown],
    )


def _slots(launches: list[Launch]) -> tuple[int, ...]:
    return tuple(b.slot for launch in launches for b in launch.buffers if isinstance(b, SlotBuffer))


def _launch(first: Launch, second: Launch, kernel: Kernel) -> LaunchFacts:
    kinds = [operand.kind for operand in kernel.operands] or ["param"] * len(first.buffers)
    buffers = [
        _buffer(one, other, kind in MADE)
        for one, other, kind in zip(first.buffers, second.buffers, kinds, strict=True)
    ]
    return LaunchFacts(first.kernel, first.grid, first.scalars, buffers)


def _buffer(buffer: Buffer, next_buffer: Buffer, is_written: bool) -> BufferFacts:
    kind, name, index = _named(buffer)
    step = 0 if index is None else (_named(next_buffer)[2] or 0) - index
    return BufferFacts(kind, name, is_written, index, step)


def _named(buffer: Buffer) -> tuple[str, str, int | None]:
    match buffer:
        case SlotBuffer(slot=slot):
            return "slot", str(slot), None
        case WeightBuffer(name=name):
            return "weight", *family_of(name)
        case CacheBuffer(group=group, layer=layer):
            return "cache", group, layer
        case InputBuffer(name=name):
            return "input", name, None


def _folded(lives: list[Life], runs: list[Run]) -> list[Life]:
    """Lives within the launches that are shown: the first time of each run."""
    shown = [run.first + place for run in runs for place in range(run.num_launches)]
    place_of = {launch: place for place, launch in enumerate(shown)}
    found = []
    for life in lives:
        inside = [place_of[n] for n in range(life.first, life.last + 1) if n in place_of]
        if inside:
            found.append(msgspec.structs.replace(life, first=inside[0], last=inside[-1]))
    return found
