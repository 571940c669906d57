"""Calls of a region in a tape, and the same calls by other kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..artifact import Buffer, InputBuffer, Kernel, Launch, Operand, SlotBuffer
from ..artifact.schema import Rows
from ..codegen.step_rows import TOKENS, term_of
from ..codegen.triton.emit import EmittedRegion


class Call(NamedTuple):
    """The launches of one call: their place in the tape, its buffers by what they are, and the
    symbol of its rows."""

    begin: int
    end: int
    buffers: Mapping[Operand, Buffer]
    rows: Rows


def calls_of(
    launches: Sequence[Launch], names: Sequence[str], kernels: Mapping[str, Kernel]
) -> Iterator[Call]:
    """Every call of the region whose kernels have these names, in the order of the tape."""
    for begin, launch in enumerate(launches):
        if launch.kernel != names[0]:
            continue
        end = begin + len(names)
        taken = launches[begin:end]
        assert [launch.kernel for launch in taken] == list(names), "a call has all kernels in turn"
        buffers = {
            operand: buffer
            for launch in taken
            for operand, buffer in zip(kernels[launch.kernel].operands, launch.buffers, strict=True)
        }
        yield Call(begin, end, buffers, launch.rows)


class Scratch(NamedTuple):
    """Which workspaces of kernels are tickets, and the slots that stand for all of them.

    Slots of an artifact count from 0; these come after all of them.
    """

    first_slot: int
    tickets: frozenset[int]

    def slot(self, workspace: int) -> SlotBuffer:
        """A workspace's; tickets have slots of their own, for they stay zero."""
        return SlotBuffer(self.first_slot + 2 * workspace + (workspace in self.tickets))


def launches_of(
    call: Call, region: EmittedRegion, names: Sequence[str], scratch: Scratch
) -> list[Launch]:
    """The call by the kernels of ``region``, which have these names."""

    def buffer(operand: Operand) -> Buffer:
        if operand.kind == "workspace":
            return scratch.slot(int(operand.place))
        if operand.kind == "input":
            return InputBuffer(str(operand.place))
        return call.buffers[operand]

    return [
        Launch(
            kernel=name,
            buffers=[buffer(operand) for operand in kernel.buffers],
            scalars=[scalar.renamed({TOKENS: call.rows}).to_json() for scalar in kernel.scalars],
            grid=[term_of(term, call.rows) for term in kernel.grid],
            rows=call.rows,
        )
        for name, kernel in zip(names, region.kernels, strict=True)
    ]
