"""Emits one C++ source for each distinct region, with its math and cost at the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...ir.graph import Function
from ...ir.printer import print_function
from ...ir.types import Dim
from .attention import emit_attention
from .choices import Asked
from .cost import Cost, cost_of, routing_of
from .experts import emit_experts
from .kernel import KernelLaunch, RegionKernel
from .linear import emit_linear
from .rows import emit_rows
from .sample import emit_sample

EMITTERS: Mapping[str, Callable[[Function, frozenset[str], Asked], RegionKernel]] = {
    "rows": emit_rows,
    "linear": emit_linear,
    "attention": emit_attention,
    "experts": emit_experts,
    "sample": emit_sample,
}
"""By anchor: takes a region, the names of its parameters that are stored packed, and what
configurations are asked for."""

UNITS = {
    "rows": "a run of rows",
    "linear": "up to 128 outputs of up to 96 rows",
    "attention": "48 rows of (token, head) that share a sequence and a key head",
    "experts": "up to 64 outputs of up to 96 pairs of one expert",
    "sample": "a row of logits",
}
"""What a worker takes at a time from a launch, by anchor: the grid of a CPU kernel."""

_FRAME = """{head}
#include "region.h"

using namespace tapeout;

{body}
"""


@dataclass(frozen=True)
class EmittedRegion:
    """The kernel of a region: its exported names start with ``name``."""

    name: str
    body: str  # C++ in which NAME stands for ``name``
    anchor: str
    math: str  # the region's body in IR text
    source: str  # a whole C++ file
    launches: tuple[KernelLaunch, ...]
    workspaces: tuple[Dim, ...]
    cost: Cost  # of all launches that do not say theirs
    routing: tuple[int, int] | None


def emit_region(
    function: Function, packed: frozenset[str], asked: Asked | None = None
) -> EmittedRegion:
    """The C++ of a region; ``packed`` names the parameters that are stored as packed weights.

    Configurations are what is ``asked`` for by level and key, and else our own. Raises BuildError
    for one that a kernel cannot have.
    """
    anchor = str(function.attrs["anchor"])
    kernel = EMITTERS[anchor](function, packed, asked or {})
    name = f"tapeout_{function.name}" + ("_from_packed" if packed and anchor == "rows" else "")
    math, cost = print_function(function), cost_of(function)
    head = [f"Region {function.name}, anchor {anchor}.", "", *math.splitlines(), ""]
    head += [f"Moves {cost.bytes} bytes and takes {cost.flops} floating-point operations a call."]
    head += [f"A unit of work is {UNITS[anchor]}; workers take units from the launch's ticket."]
    head += [f"Stored as packed weights: {', '.join(sorted(packed))}."] if packed else []
    source = _FRAME.format(
        head="\n".join(f"// {line}".rstrip() for line in head),
        body=kernel.body.replace("NAME", name),
    )
    return EmittedRegion(
        *(name, kernel.body, anchor, math, source),
        *(kernel.launches, kernel.workspaces, cost, routing_of(function)),
    )
