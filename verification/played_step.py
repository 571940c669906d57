"""One step of several that are played side by side: what of it is where kernels look for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..artifact import Buffer
from ..codegen.tape import written_states
from ..ir.graph import Function, Value
from ..ir.types import DType
from ..runtime.frame import Frame
from .errors import Error
from .results import compare
from .subject import Subject

_NOTHING = 0xFF  # bytes of what no kernel has written: floats of them are no numbers

References = tuple[Sequence[Any], Sequence[Any]]
"""Results as the records have them, and exact ones."""


class Call(NamedTuple):
    """The launches of a region in a tape: their places, and where it has what they are about."""

    launches: range
    homes: Mapping[Value, Buffer]  # of results that are no caches
    read: Collection[Buffer]  # that are parameters


class PlayedStep:
    """A step of a tape; what its launches have written so far is kept beside the arena."""

    def __init__(self, subject: Subject, tape: str, frame: Frame) -> None:
        self._subject, self._tape, self._frame = subject, tape, frame
        self.symbols = subject.symbols(frame)
        self._kept: dict[Buffer, tuple[Value, torch.Tensor]] = {}  # the newest last

    @property
    def num_tokens(self) -> int:
        """In the step."""
        return len(self._frame.token_places)

    def begin(self) -> list[Any]:
        """What the entry function is called with."""
        entry = self._tape.split(".")[0]
        self._subject.settle()
        if entry == "step":
            self._subject.executor.send(self._frame)
        else:
            self._subject.executor.step(self._frame)  # whose logits it takes
        params = self._subject.module.functions[entry].params
        arguments = self._subject.arguments(entry, self._frame)
        for param, argument in zip(params, arguments, strict=True):
            if param.dtype is not DType.STATE:
                self._kept[self._subject.argument_buffer(param)] = (param, argument)
        return arguments

    def resume(self) -> None:
        """Puts all back where its launches left it, after another step was played."""
        self._subject.settle()
        self._subject.executor.send(self._frame)
        for buffer, (value, tensor) in self._kept.items():
            self._tensor(value, buffer).copy_(tensor)

    def play(
        self, region: Function, call: Call, operands: Sequence[Any], references: References
    ) -> tuple[tuple[Any, ...], dict[str, Error]]:
        """What a region's launches make, and how far that is off; what is wrong is put right."""
        rounded, exact = references
        self._wipe(call)
        self._launch(call.launches)
        states = {v: operands[region.params.index(p)] for v, p in written_states(region).items()}
        found = [
            self._tensor(v, call.homes[v]).clone() if v in call.homes else states.get(v, wanted)
            for v, wanted in zip(region.results, rounded, strict=True)
        ]
        errors = dict(compare(region, operands, found, rounded, exact))
        for value in region.results:
            if value not in call.homes and value not in states:
                del errors[value.name]  # nobody has made it
        for place, value in enumerate(region.results):
            if value in call.homes:
                home = call.homes[value]
                if not errors[value.name].passed:
                    found[place] = self._tensor(value, home).copy_(rounded[place]).clone()
                self._keep(value, home, found[place])
        return tuple(found), errors

    def _keep(self, value: Value, buffer: Buffer, tensor: torch.Tensor) -> None:
        self._kept.pop(buffer, None)  # slots share memory: what was written last comes last
        self._kept[buffer] = (value, tensor)

    def _wipe(self, call: Call) -> None:
        """What is not written is to be seen; a result may lie where a parameter is until then."""
        for value, buffer in call.homes.items():
            if buffer not in call.read:
                self._tensor(value, buffer).view(torch.uint8).fill_(_NOTHING)

    def _launch(self, launches: range) -> None:
        self._subject.settle()
        self._subject.executor.play_part(self._tape, self._frame, launches.start, launches.stop)

    def _tensor(self, value: Value, buffer: Buffer) -> torch.Tensor:
        return self._subject.tensor(buffer, value.dtype, value.type.concrete(self.symbols))
