"""Weight programs: each tensor an artifact holds is a recorded pure function of its sources.

A program is a small tree of `Step`s. Leaves are ``checkpoint`` (a tensor of the checkpoint, by
name) and ``constant`` (values known when the model was traced). The name of a checkpoint source
may hold ``{expression}`` over ``i``, the index within a family of weights: the member 3 of
``checkpoint("h.{2*i+1}.w")`` is ``h.7.w``. The frontend executes programs; this module only
records, prints and parses them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .types import Dim, DType, TensorType

Argument = bool | int | float | str | None | DType | tuple["Argument", ...]

STEPS = {
    "checkpoint": "checkpoint(name): the tensor of that name, as stored",
    "constant": "constant(dtype, shape, hex): values, as little-endian bytes in hexadecimal",
    "cast": "cast(x, dtype): round to nearest even",
    "transpose": "transpose(x, permutation)",
    "reshape": "reshape(x, shape)",
    "slice": "slice(x, axis, start, stop, step)",
    "concat": "concat(axis, x...)",
    "stack": "stack(axis, x...)",
    "add": "add(x, number)",
    "multiply": "multiply(x, number)",
    "multiply_columns": "multiply_columns(x[.., K], y[K], number): x * (number + y), rounded once",
    "pack_rows16": "pack_rows16(x[N, K]): 16 rows interleaved, see codegen/packing.py",
    "pair_rows16": "pair_rows16(x[2N, K]): alternate 16-row blocks of both halves",
}
"""Every step a program may hold, with its meaning."""


@dataclass(frozen=True)
class Step:
    """One application: ``op`` on ``inputs`` with plain ``arguments``."""

    op: str
    inputs: tuple[Step, ...] = ()
    arguments: tuple[Argument, ...] = ()

    def __post_init__(self) -> None:
        assert self.op in STEPS, f"unknown weight step {self.op!r}"

    def at(self, index: int) -> Step:
        """The program of the family's member ``index``: names have their holes filled."""
        if self.op == "checkpoint":
            return replace(self, arguments=(fill(str(self.arguments[0]), index),))
        return replace(self, inputs=tuple(step.at(index) for step in self.inputs))

    def sources(self) -> tuple[str, ...]:
        """Names of checkpoint tensors read, in order, each once."""
        if self.op == "checkpoint":
            return (str(self.arguments[0]),)
        return tuple(dict.fromkeys(name for step in self.inputs for name in step.sources()))


def fill(name: str, index: int) -> str:
    """Evaluate the ``{expression}`` holes of ``name`` at ``i = index``."""
    return re.sub(r"\{([^}]*)\}", lambda m: str(Dim.of(m[1]).evaluate({"i": index})), name)


def checkpoint(name: str) -> Step:
    """The checkpoint's tensor ``name``."""
    return Step("checkpoint", (), (name,))


@dataclass(frozen=True)
class Weight:
    """A tensor, or a family of ``count`` tensors of one type (one per repetition of a layer)."""

    name: str
    type: TensorType
    program: Step
    count: int | None = None

    def members(self) -> list[tuple[str, Step]]:
        """(name, program) of each tensor; a family's are named ``name/0``, ``name/1``, ..."""
        if self.count is None:
            return [(self.name, self.program)]
        return [(f"{self.name}/{i}", self.program.at(i)) for i in range(self.count)]
