"""Plays a tape launch by launch and holds each region against its records.

The dataflow is the module's: what a region is given is what the kernels before it made, wherever
the tape says that it lies. So errors do not add up, and a launch that reads from a wrong place, or
too little, is the one that is found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..artifact import Buffer, Launch
from ..codegen.tape import written_states
from ..codegen.triton.squares import optional_results
from ..ir.graph import Function, Value
from ..ir.interpret import Interpreter
from ..ir.types import DType
from ..runtime.frame import Frame
from .cache import CachePages
from .errors import Error
from .exact import run_region
from .results import compare
from .subject import Subject

_NOTHING = 0xFF  # bytes of what no kernel has written: floats of them are no numbers
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


class Walk(Interpreter):
    """Of one step, which was sent; ``note`` is told of every result."""

    def __init__(self, subject: Subject, tape: str, frame: Frame, note: Note) -> None:
        super().__init__(subject.module, subject.weights, subject.symbols(frame))
        self._subject, self._tape, self._frame, self._note = subject, tape, frame, note
        self._launches = subject.tapes[tape].launches
        self._num_played = 0

    def walk(self) -> None:
        """Plays all of the tape. Raises WrongTape."""
        entry = self._tape.split(".")[0]
        with self._subject.reference():
            self.run(entry, self._subject.arguments(entry, self._frame))
        if self._num_played < len(self._launches):
            raise WrongTape(f"{self._next()} is of no region")

    def call_region(
        self, region: Function, operands: Sequence[Any], symbols: Mapping[str, int]
    ) -> tuple[Any, ...]:
        """What the region's kernels make of what those before them made."""
        call, first_launch = self._take(region), self._num_played
        rounded, exact = self._references(region, operands, symbols)
        buffers = self._buffers(call)
        homes = self._homes(region, buffers)
        self._wipe(homes, {b for (kind, _), b in buffers.items() if kind == "param"})
        self._play(len(call))
        states = {v: operands[region.params.index(p)] for v, p in written_states(region).items()}
        found = [
            self._tensor(v, homes[v]).clone() if v in homes else states.get(v, wanted)
            for v, wanted in zip(region.results, rounded, strict=True)
        ]
        kernels = tuple(launch.kernel for launch in call)
        errors = dict(compare(region, operands, found, rounded, exact))
        for value in optional_results(region) - homes.keys():
            del errors[value.name]
        for name, error in errors.items():
            at = (self._tape, first_launch, kernels, self.layer)
            self._note(Compared(*at, name, error, self.symbols))
        for place, value in enumerate(region.results):
            if value in homes and not errors[value.name].passed:
                found[place] = self._put_right(value, homes[value], rounded[place])
        return tuple(found)

    def _put_right(self, value: Value, home: Buffer, wanted: torch.Tensor) -> torch.Tensor:
        """Gives the launches that follow what they should have been given: one fault is one."""
        return self._tensor(value, home).copy_(wanted).clone()

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

    def _references(
        self, region: Function, operands: Sequence[Any], symbols: Mapping[str, int]
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Results of the records as they are, and of exact ones where those could differ."""
        is_sampling = region.attrs["anchor"] == "sample"  # whose records take a row at a time
        device = torch.device("cpu") if is_sampling else self._subject.reference()

        def run(exact: bool) -> tuple[Any, ...]:
            given = [_operand(x, exact, is_sampling) for x in operands]
            return run_region(self.module, region.name, given, symbols, exact)

        with device:
            rounded = run(exact=False)
            values = (*region.params, *region.results)
            is_narrow = any(v.dtype in _NARROW or v.dtype is DType.STATE for v in values)
            return rounded, run(exact=True) if is_narrow else rounded

    def _buffers(self, call: Sequence[Launch]) -> dict[tuple[str, int | str], Buffer]:
        """The buffers of a region's launches by what they are to it."""
        found: dict[tuple[str, int | str], Buffer] = {}
        for launch in call:
            operands = self._subject.kernels[launch.kernel].operands
            found |= {(o.kind, o.place): b for o, b in zip(operands, launch.buffers, strict=True)}
        return found

    def _homes(
        self, region: Function, buffers: Mapping[tuple[str, int | str], Buffer]
    ) -> dict[Value, Buffer]:
        """Where the tape has each result that is no cache."""
        written, homes = written_states(region), {}
        for place, value in enumerate(region.results):
            if value.dtype is not DType.STATE:
                param = region.params.index(written[value]) if value in written else None
                key = ("result", place) if param is None else ("param", param)
                if key not in buffers and value in optional_results(region):
                    continue
                if key not in buffers:
                    raise WrongTape(f"{self._next()} does not make %{value.name} of {region.name}")
                homes[value] = buffers[key]
        return homes

    def _wipe(self, homes: Mapping[Value, Buffer], read: Collection[Buffer]) -> None:
        """What is not written is to be seen; a result may lie where a parameter is until then."""
        for value, buffer in homes.items():
            if buffer not in read:
                self._tensor(value, buffer).view(torch.uint8).fill_(_NOTHING)

    def _play(self, count: int) -> None:
        if self._subject.on_gpu:
            torch.cuda.synchronize()
        begin, self._num_played = self._num_played, self._num_played + count
        self._subject.executor.play_part(self._tape, self._frame, begin, self._num_played)

    def _tensor(self, value: Value, buffer: Buffer) -> torch.Tensor:
        return self._subject.tensor(buffer, value.dtype, value.type.concrete(self.symbols))

    def _next(self) -> str:
        return (
            f"{self._tape}: launch {self._num_played} ({self._launches[self._num_played].kernel})"
        )


def _operand(value: Any, wide: bool, on_host: bool) -> Any:
    if isinstance(value, CachePages):
        return value.over(wide)
    return value.cpu() if on_host and isinstance(value, torch.Tensor) else value
