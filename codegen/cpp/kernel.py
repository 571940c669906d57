"""What the emitters give: kernels, as C++ source and the launches that run them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...artifact import Operand
from ...ir.graph import Function, Value
from ...ir.types import Dim
from .cost import Cost
from .elements import CPP_TYPES, cpp_name

__all__ = ["KernelLaunch", "Operand", "RegionKernel", "buffer_line", "params", "row_dim"]


@dataclass(frozen=True)
class KernelLaunch:
    """One launch of a region: which of its entry points, on which buffers, with which scalars."""

    suffix: str  # after the kernel's name; empty when the region is one launch
    buffers: tuple[Operand, ...]
    scalars: tuple[Dim, ...]
    cost: Cost | None = None  # None: that of the whole region


@dataclass(frozen=True)
class RegionKernel:
    """A compiled region. ``body`` is C++ in which NAME stands for the kernel's name."""

    body: str
    launches: tuple[KernelLaunch, ...]
    workspaces: tuple[Dim, ...] = field(default=())  # bytes of each


def params(*places: int) -> tuple[Operand, ...]:
    """Parameters by number."""
    return tuple(Operand("param", place) for place in places)


def buffer_line(place: int, value: Value, writable: bool = False) -> str:
    """Binds buffer ``place`` of a launch to the C++ name of ``value``."""
    kind = CPP_TYPES[value.dtype]
    const = "" if writable else "const "
    name = f"{'o' if writable else 'p'}_{cpp_name(value)}"
    return f"auto *{name} = ({const}{kind} *)launch->buffers[{place}];"


def row_dim(function: Function) -> Dim:
    """The leading dimension that a region's rows run over."""
    tensors = [v for v in function.results if v.type.rank and v.dtype.value != "state"]
    if tensors:
        return tensors[0].shape[0]
    write = next(node for node in function.nodes if node.op == "kv_write")
    return write.operands[1].shape[0]
