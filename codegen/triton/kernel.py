"""What the emitters give: kernels as Triton source, and the launches that run them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...artifact.schema import GridTerm
from ...ir.graph import Value
from ...ir.types import Dim, DType
from ..cpp.cost import Cost
from ..cpp.kernel import Operand, params, row_dim
from .expressions import BEGINNING, BEGINNING_IN_TURN, BOX, BOX_BY_POINTERS, HELPERS
from .targets import GpuTarget

if TYPE_CHECKING:
    from .choice import Choice

__all__ = ["Box", "Kernel", "Operand", "RegionKernels", "Steps", "grid_of", "params", "row_dim"]

TYPES = {DType.F32: "fp32", DType.F16: "fp16", DType.BF16: "bf16", DType.I32: "i32"}
TYPES |= {DType.I64: "i64"}

IMPORTS = """\
import triton
import triton.language as tl
"""
GLUON_IMPORTS = """\
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
"""
BOX_LAYOUT = "NVMMASharedLayout(128, 16, rank=2)"
"""How Gluon has the rows of a box lie in shared memory: 128 bytes of 16-bit elements."""


@dataclass(frozen=True)
class Steps:
    """The steps that a variant of the kernels is made for.

    ``max_rows`` is the largest T (or R) it takes, None for any; ``one_token_each`` says that every
    sequence has one token, so that attention need not look where a sequence's tokens begin, and
    that logits of all of them are wanted, so that nothing takes their rows.
    """

    name: str
    max_rows: int | None = None
    one_token_each: bool = False
    target: GpuTarget | None = None  # that runs them; None is Triton's interpreter, or any
    batch_invariant: bool = False  # a row's sums have one order in the variants of all sizes


@dataclass(frozen=True)
class Box:
    """How a kernel reads a buffer: ``rows`` by ``columns`` of a matrix at a time.

    The matrix has rows of ``width`` elements, as many as the buffer holds. Where there are tensor
    maps the parameter is one, and copies do not go through registers; elsewhere it is a pointer,
    and `_box` hides which. Gluon is for targets that have maps.
    """

    buffer: int  # its place among the kernel's
    width: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Kernel:
    """One kernel of a region. ``body`` is Triton in which NAME stands for the kernel's name.

    Its parameters are ``buffers`` (pointers to ``types``, 16-byte aligned), then ``scalars`` (i32).
    """

    suffix: str  # after the region's name; empty when the region is one launch
    body: str
    buffers: tuple[Operand, ...]
    types: tuple[str, ...]
    scalars: tuple[Dim, ...]
    grid: tuple[GridTerm, ...]
    num_warps: int = 4
    num_stages: int = 3
    more_warps: int = 0  # that it starts itself
    tiles: tuple[GridTerm, ...] | None = None  # that its blocks take in turn; None: each has one
    boxes: tuple[Box, ...] = ()  # of some of the buffers, in their order
    cost: Cost | None = None  # None: that of the whole region

    @property
    def is_gluon(self) -> bool:
        """Whether the body is of Triton's lower language, for one kind of GPU."""
        return "@gluon.jit" in self.body

    @property
    def begins_early(self) -> bool:
        """Whether it waits for the launch before by itself: it may begin while that runs."""
        return "_await_inputs()" in self.body

    def types_on(self, hopper_or_later: bool) -> tuple[str, ...]:
        """Triton's types of the buffers on a target."""
        types = list(self.types)
        layout = "," + BOX_LAYOUT if self.is_gluon else ""
        for box in self.boxes if hopper_or_later else ():
            element = types[box.buffer].removeprefix("*")
            types[box.buffer] = f"tensordesc<{element}[{box.rows}, {box.columns}]{layout}>"
        return tuple(types)

    def source_as(self, name: str, hopper_or_later: bool = False) -> str:
        """The whole file of a kernel called ``name``, with the helpers that it calls.

        ``hopper_or_later`` says what the target can do, see `GpuTarget`.
        """
        used = [text for word, text in HELPERS.items() if re.search(rf"\b{word}\(", self.body)]
        if self.begins_early:
            used.append(BEGINNING if hopper_or_later else BEGINNING_IN_TURN)
        if "_box(" in self.body:
            used.append(BOX if hopper_or_later else BOX_BY_POINTERS)
        parts = [IMPORTS + GLUON_IMPORTS * self.is_gluon, *used, self.body.replace("NAME", name)]
        return "\n\n".join(part.strip("\n") + "\n" for part in parts)


@dataclass(frozen=True)
class RegionKernels:
    """The launches of a region, the bytes of its workspaces, and which of these hold tickets:
    counters that are zero before and after each launch."""

    kernels: tuple[Kernel, ...]
    workspaces: tuple[Dim, ...] = ()
    tickets: frozenset[int] = field(default_factory=frozenset)
    choice: Choice[Any] | None = None  # None: there is nothing to choose


def grid_of(*terms: tuple[Dim | int, int, int] | int) -> tuple[GridTerm, ...]:
    """Three terms of a grid: a count, or (extent, divisor, factor); missing ones are 1."""
    made = [
        GridTerm({"": 1}, 1, term)
        if isinstance(term, int)
        else GridTerm(Dim.of(term[0]).to_json(), term[1], term[2])
        for term in terms
    ]
    return (*made, *[GridTerm({"": 1}, 1, 1)] * (3 - len(made)))


def pointer_type(value: Value, state: DType | None = None) -> str:
    """Triton's type of the pointer to a value; ``state`` is the element type of a cache."""
    return "*" + TYPES[state or value.dtype]


def padded(size: int, least: int = 1) -> int:
    """The power of two that tiles use for ``size`` elements."""
    return max(least, 1 << max(0, size - 1).bit_length())
