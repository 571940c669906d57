"""The op record: everything the system knows of an op, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch

from ..types import Dim, TensorType

Attrs = Mapping[str, Any]
Infer = Callable[[Sequence[TensorType], Attrs], tuple[TensorType, ...]]
Reference = Callable[[Sequence[Any], Attrs], tuple[Any, ...]]
Flops = Callable[[Sequence[TensorType], Sequence[TensorType], Attrs], float]

LEVELS = ("traced", "model", "paged", "placed", "region")
"""Levels in the order a module passes through them."""

REQUIRED = object()
"""The default of an attribute that must be given."""


class Kind(Enum):
    """How an op's elements depend on its operands' elements; this is what fusion asks."""

    ELEMENTWISE = "each result element reads the same (broadcast) element of every operand"
    REDUCTION = "one axis of the operand is reduced, and kept with size 1"
    ROW = "each row of the last axis is computed from the same row of the first operand"
    LAYOUT = "elements are moved, none is computed"
    ANCHOR = "a region is built around it: products, attention, experts, gathers, sampling"
    CONTROL = "calls functions of the module"
    ATEN = "as torch defines it"


@dataclass(frozen=True)
class OpRecord:
    """One op. ``operands`` end in ``?`` when optional, in ``*`` when repeated.

    ``infer`` maps operand types and attributes to result types and asserts what must hold;
    ``reference`` computes results in plain torch; ``scalar`` is an elementwise op's expression,
    which every emitter prints in its own language; ``flops`` counts operations from operand and
    result types with symbols replaced by numbers; ``writes`` names operands updated in place:
    the first results are their new states, in that order.
    """

    name: str
    doc: str
    kind: Kind
    operands: tuple[str, ...]
    infer: Infer
    reference: Reference
    flops: Flops
    attrs: Attrs = field(default_factory=dict)
    levels: tuple[str, str] = ("traced", "region")
    scalar: str | None = None
    writes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.doc and all(level in LEVELS for level in self.levels)
        assert (self.kind is Kind.ELEMENTWISE) == (self.scalar is not None), self.name

    def allowed_at(self, level: str) -> bool:
        """True when a module of ``level`` may hold this op."""
        first, last = (LEVELS.index(name) for name in self.levels)
        return first <= LEVELS.index(level) <= last

    def complete(self, attrs: Attrs) -> dict[str, Any]:
        """``attrs`` with defaults filled in; asserts on a missing or unknown name."""
        unknown = set(attrs) - set(self.attrs)
        assert not unknown, f"{self.name} has no attribute {sorted(unknown)}"
        full = dict(self.attrs) | dict(attrs)
        missing = [name for name, value in full.items() if value is REQUIRED]
        assert not missing, f"{self.name} needs the attribute {missing}"
        return full


_REGISTRY: dict[str, OpRecord] = {}


def register(record: OpRecord) -> OpRecord:
    """Add a record; a name can be taken once."""
    assert record.name not in _REGISTRY, f"{record.name} is registered twice"
    _REGISTRY[record.name] = record
    return record


def registry() -> Mapping[str, OpRecord]:
    """Every record by name, without those derived from torch (see `aten`)."""
    return _REGISTRY


def elements(result: TensorType) -> float:
    """Number of elements of a concrete type, as a float so that costs may be averages."""
    total = 1.0
    for dim in result.shape:
        total *= int(dim)
    return total


def no_flops(_: Sequence[TensorType], __: Sequence[TensorType], ___: Attrs) -> float:
    """Cost of an op that only moves data."""
    return 0.0


def flops_per_result(count: float) -> Flops:
    """Cost of an op that spends ``count`` operations on each element of its first result."""
    return lambda _, results, __: count * elements(results[0])


def flops_per_operand(count: float) -> Flops:
    """Cost of an op that spends ``count`` operations on each element of its first operand."""
    return lambda operands, _, __: count * elements(operands[0])


def broadcast(shapes: Sequence[tuple[Dim, ...]]) -> tuple[Dim, ...]:
    """The common shape under numpy's rules; asserts when there is none."""
    rank = max((len(shape) for shape in shapes), default=0)
    padded = [(Dim(1),) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for axis in range(rank):
        sizes = {shape[axis] for shape in padded} - {Dim(1)}
        assert len(sizes) <= 1, f"shapes do not broadcast: {shapes}"
        result.append(sizes.pop() if sizes else Dim(1))
    return tuple(result)


def compute_type(x: torch.Tensor) -> torch.Tensor:
    """Floats as f32, everything else unchanged: the type ops compute in."""
    return x.float() if x.is_floating_point() and x.dtype != torch.float64 else x
