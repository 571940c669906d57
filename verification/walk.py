"""Plays a tape launch by launch and holds each region against its records, for several steps at
once: a layer's weights are then made for the records once.

The dataflow is the module's: what a region is given is what the kernels before it made, wherever
the tape says that it lies. So errors do not add up, and a launch that reads from a wrong place, or
too little, is the one that is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..artifact import Buffer, Launch
from ..codegen.step_rows import params_taken
from ..codegen.tape import written_states
from ..ir.graph import Function, Value
from ..ir.interpret import Interpreter
from ..ir.types import DType
from ..runtime.frame import Frame
from .cache import CachePages
from .errors import Error
from .exact import run_region, widened
from .played_step import Call, PlayedStep, References
from .subject import Subject

_NARROW = (DType.BF16, DType.F16)


class WrongTape(Exception):
    """A tape does not have the launches of its module's regions."""


class Compared(NamedTuple):
    """A result of a region's kernels against its records."""

    tape: str
    first_launch: int  # its place in the tape
    kernels: tuple[str, ...]  # of the launches from there on
    layer: int | None
    result: str
    error: Error
    symbols: Mapping[str, int]  # of the step


Note = Callable[[Compared], None]


class PerStep(tuple[Any, ...]):
    """A value in each of the steps; weights are the same in all."""

    is_made = True  # by a launch; what kernels of some sizes do without is none's


class _NotMade(PerStep):
    is_made = False


class Walk(Interpreter):
    """Of a tape; ``note`` is told of every result, ``advance`` of how many launches are done."""

    def __init__(
        self,
        subject: Subject,
        tape: str,
        frames: Sequence[Frame],
        note: Note,
        advance: Callable[[int], None],
    ) -> None:
        super().__init__(subject.module, subject.weights, {})
        self._subject, self._tape = subject, tape
        self._note, self._advance = note, advance
        self._steps = [PlayedStep(subject, tape, frame) for frame in frames]
        self._launches = subject.tapes[tape].launches
        self._all_rows = subject.tapes[tape].one_token_each
        self._num_played = 0

    def walk(self) -> None:
        """Plays all of the tape. Raises WrongTape."""
        arguments = [step.begin() for step in self._steps]
        with self._subject.reference():
            self.run(
                self._tape.split(".")[0], [PerStep(each) for each in zip(*arguments, strict=True)]
            )
        if self._num_played < len(self._launches):
            raise WrongTape(f"{self._next()} is of no region")

    def call_region(
        self, region: Function, operands: Sequence[Any], symbols: Mapping[str, int]
    ) -> tuple[Any, ...]:
        """What the region's kernels make of what those before them made, in each step."""
        taken = params_taken(region) if self._all_rows else []
        if taken:
            return tuple(operands[place] for place in taken)
        launches = self._take(region)
        call = self._call_of(region, launches, operands)
        wide = operands if self._is_exact(region) else [_widened(value) for value in operands]
        results = []
        for number, step in enumerate(self._steps):
            given, given_wide = (_of_step(values, number) for values in (operands, wide))
            inner = {**step.symbols, **symbols}
            for value, home in call.homes.items():
                self._subject.check_room(value, home, inner)
            references = self._references(region, given, given_wide, inner)
            if len(self._steps) > 1:
                step.resume()
            found, errors = step.play(region, call, given, references)
            kernels = tuple(launch.kernel for launch in launches)
            for name, error in errors.items():
                at = (self._tape, self._num_played, kernels, self.layer)
                self._note(Compared(*at, name, error, step.symbols))
            results.append(found)
        self._num_played += len(launches)
        self._advance(len(launches))
        made = {*call.homes, *written_states(region)}
        return tuple(
            (PerStep if value in made else _NotMade)(each)
            for value, each in zip(region.results, zip(*results, strict=True), strict=True)
        )

    def _take(self, region: Function) -> list[Launch]:
        """The launches of the next region: one of each of its kernels."""
        kernels, taken = self._subject.kernels, dict[str, Launch]()
        for launch in self._launches[self._num_played :]:
            owners = {kernels[name].region for name in (launch.kernel, *taken)}
            if launch.kernel in taken or len(owners) > 1:
                break
            taken[launch.kernel] = launch
        if not taken:
            raise WrongTape(f"{self._tape} ends before region {region.name}")
        anchor = region.attrs["anchor"]
        if any(kernels[name].anchor != anchor for name in taken):
            raise WrongTape(f"{self._next()} is where region {region.name} is wanted")
        return [*taken.values()]

    def _call_of(
        self, region: Function, launches: Sequence[Launch], operands: Sequence[Any]
    ) -> Call:
        """Where the tape has what the region's launches read and write."""
        buffers: dict[tuple[str, int | str], Buffer] = {}
        for launch in launches:
            own = self._subject.kernels[launch.kernel].operands
            buffers |= {(o.kind, o.place): b for o, b in zip(own, launch.buffers, strict=True)}
        for place, value in enumerate(operands):
            if ("param", place) in buffers and isinstance(value, PerStep) and not value.is_made:
                name = region.params[place].name
                raise WrongTape(f"{self._next()} reads %{name}, which no launch has made")
        homes = self._homes(region, buffers)
        read = {buffer for (kind, _), buffer in buffers.items() if kind == "param"}
        end = self._num_played + len(launches)
        return Call(range(self._num_played, end), homes, read)

    def _homes(
        self, region: Function, buffers: Mapping[tuple[str, int | str], Buffer]
    ) -> dict[Value, Buffer]:
        """Of the results that are made and no caches: not all are, where no later launch reads."""
        written, homes = written_states(region), dict[Value, Buffer]()
        for place, value in enumerate(region.results):
            if value.dtype is not DType.STATE:
                param = region.params.index(written[value]) if value in written else None
                key = ("result", place) if param is None else ("param", param)
                if key in buffers:
                    homes[value] = buffers[key]
        if not homes and not written:
            raise WrongTape(f"{self._next()} does not make any result of {region.name}")
        return homes

    def _is_exact(self, region: Function) -> bool:
        """Whether the records round nothing, and exact ones would give the same."""
        values = (*region.params, *region.results)
        return not any(v.dtype in _NARROW or v.dtype is DType.STATE for v in values)

    def _references(
        self,
        region: Function,
        operands: Sequence[Any],
        wide: Sequence[Any],
        symbols: Mapping[str, int],
    ) -> References:
        is_sampling = region.attrs["anchor"] == "sample"  # whose records take a row at a time
        device = torch.device("cpu") if is_sampling else self._subject.reference()

        def run(values: Sequence[Any], exact: bool) -> tuple[Any, ...]:
            given = [_operand(value, exact, is_sampling) for value in values]
            return run_region(self.module, region.name, given, symbols, exact)

        with device:
            rounded = run(operands, exact=False)
            return rounded, rounded if wide is operands else run(wide, exact=True)

    def _next(self) -> str:
        return (
            f"{self._tape}: launch {self._num_played} ({self._launches[self._num_played].kernel})"
        )


def _of_step(values: Sequence[Any], number: int) -> list[Any]:
    return [value[number] if isinstance(value, PerStep) else value for value in values]


def _widened(value: Any) -> Any:
    return PerStep(map(widened, value)) if isinstance(value, PerStep) else widened(value)


def _operand(value: Any, wide: bool, on_host: bool) -> Any:
    if isinstance(value, CachePages):
        return value.over(wide)
    return value.cpu() if on_host and isinstance(value, torch.Tensor) else value
