"""Emits the Triton kernels of a region for steps of a size, headed by its math and its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...artifact.tuning_table import Configuration, Key
from ...errors import BuildError
from ...ir.graph import Function
from ...ir.printer import print_function
from ...ir.types import Dim
from ..cpp.cost import routing_of
from ..tuning_key import key_of
from .attention import emit_attention
from .choice import Choice
from .experts import emit_experts
from .kernel import Kernel, RegionKernels, Steps
from .linear import emit_linear
from .parts import as_part, homes_of
from .rows import emit_rows
from .sample import emit_sample
from .squares import computed_part

TUNED: Mapping[str, Callable[[Function, Steps, Configuration | None], RegionKernels]] = {
    "linear": emit_linear,
    "attention": emit_attention,
    "experts": emit_experts,
}
"""Emitters of the anchors whose kernels have a choice of configurations."""
FIXED: Mapping[str, Callable[[Function, Steps], RegionKernels]] = {
    "rows": emit_rows,
    "sample": emit_sample,
}


@dataclass(frozen=True)
class EmittedRegion:
    """The kernels of a region for steps of a size; their names start with ``name``."""

    name: str
    region: str
    anchor: str
    math: str  # the region's body in IR text
    kernels: tuple[Kernel, ...]
    workspaces: tuple[Dim, ...]
    tickets: frozenset[int]
    routing: tuple[int, int] | None
    key: Key  # of its configuration in tuning tables
    choice: Choice[Any] | None

    @property
    def launches(self) -> tuple[Kernel, ...]:
        """Its kernels, which are launched once each, in order."""
        return self.kernels


def emit_region(
    function: Function, steps: Steps, tuned: Mapping[Key, Configuration] | None = None
) -> EmittedRegion:
    """The Triton of a region, in the configuration that ``tuned`` has for it, else as rules say.

    Its text does not depend on ``steps`` where its kernels do not.
    """
    anchor, key = str(function.attrs["anchor"]), gpu_key(function, steps)
    part = computed_part(function, steps)
    if anchor in TUNED:
        made = TUNED[anchor](part, steps, (tuned or {}).get(key))
    elif anchor in FIXED:
        made = FIXED[anchor](part, steps)
    else:
        raise BuildError(f"kernels of {anchor} regions are not built for GPUs yet: {function.name}")
    math = print_function(part)  # what they do; places are those of the whole region
    kernels = as_part(made, part, homes_of(function))
    return EmittedRegion(
        function.name,
        function.name,
        anchor,
        print_function(function),
        tuple(_begun(_documented(kernel, function, math), anchor, steps) for kernel in kernels),
        made.workspaces,
        made.tickets,
        routing_of(function),
        key,
        made.choice,
    )


def gpu_key(function: Function, steps: Steps) -> Key:
    """What a region's kernels for steps of a size are known by in tuning tables."""
    function = computed_part(function, steps)
    each = steps.one_token_each and function.attrs["anchor"] == "attention"
    count = "any" if steps.max_rows is None else str(steps.max_rows)
    name = f"{count} {'sequences' if each else 'rows'}"
    return key_of(function, name, steps.batch_invariant)


def _documented(kernel: Kernel, function: Function, math: str) -> Kernel:
    grid = " by ".join(
        f"ceil(({Dim.of(_text(t.extent))}) / {t.divisor}) * {t.factor}" for t in kernel.grid
    )
    assert kernel.cost is not None
    moved, flops, _ = kernel.cost
    doc = [
        f"Region {function.name}, anchor {function.attrs['anchor']}.",
        "",
        *math.splitlines(),
        "",
        f"Grid: {grid} blocks of {kernel.num_warps + kernel.more_warps} warps.",
        f"It moves {moved} bytes and takes {flops} floating-point operations.",
    ]
    text = "\n".join(f"    {line}".rstrip() for line in doc).lstrip()
    return replace(kernel, body=kernel.body.replace('"""DOC"""', f'"""{text}\n    """'))


def _begun(kernel: Kernel, anchor: str, steps: Steps) -> Kernel:
    """The kernel, waiting for its inputs before all else unless it does so by itself.

    Small blocks let those of the next launch come beside them. Where a few large ones fill the
    machine, that would spread the next launch unevenly: it begins as they end.
    """
    if kernel.begins_early:
        return kernel
    is_small = steps.max_rows == 1 or anchor in ("rows", "sample")
    begin = ["_let_next_begin()"] * is_small + ["_await_inputs()"]
    end = kernel.body.index('\n    """\n', kernel.body.index("def NAME(")) + len('\n    """\n')
    lines = "".join(f"    {line}\n" for line in begin)
    return replace(kernel, body=kernel.body[:end] + lines + kernel.body[end:])


def _text(expression: dict[str, int]) -> str:
    parts = [f"{factor}*{name}" if name else str(factor) for name, factor in expression.items()]
    return "+".join(parts) or "0"
