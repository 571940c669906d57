"""Prefill attention for GPUs of Hopper's kind, where its tiles fit what the region asks for."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.graph import Function
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim, DType
from .attention_hopper_text import ATTENDING, CONSTANTS, FUNCTIONS, KERNEL
from .attention_shape import Shape, operands_of
from .kernel import Box, Kernel, RegionKernels, Steps, padded
from .targets import GpuTarget

ROWS = 64  # queries of a warpgroup


@dataclass(frozen=True)
class Tile:
    """How many warpgroups compute, and how many keys they take at a time."""

    warpgroups: int
    block: int
    registers: tuple[int, int]  # of a thread that computes, and of one that copies


TILES = {64: Tile(2, 128, (232, 40)), 128: Tile(2, 128, (232, 40))}
"""By the width of a head."""
LONG_TILE = Tile(3, 128, (160, 24))
"""Of long steps: more queries share the keys. Wider heads than 64 leave it too few registers."""
BOX_COLUMNS = 64  # 128 bytes: how rows lie in shared memory where products read it
_FLOATS = {DType.F16: "float16", DType.BF16: "bfloat16"}


def is_for_hopper(shape: Shape, target: GpuTarget | None) -> bool:
    """Whether the target runs this form, and the region asks for nothing that it lacks."""
    H, Hk, D, Dv = shape.sizes
    is_plain = not (shape.window or shape.softcap or shape.has_sinks)
    fits = D in TILES and Dv == D and padded(H // Hk) <= 2 * ROWS and shape.query.dtype in _FLOATS
    return target is not None and target.has_warpgroup_products and is_plain and fits


def emit_hopper(function: Function, shape: Shape, steps: Steps) -> RegionKernels:
    """The kernel of a region."""
    H, Hk, D, _ = shape.sizes
    group, tile = padded(H // Hk), _tile(shape, steps)
    rows, others = tile.warpgroups * ROWS, tile.warpgroups - 1
    computing, copying = tile.registers
    lanes = min(32, D // 8)  # of 16 bytes, along a row
    values = shape.values(rows, tile.block) | {
        "padded_group": group,
        "tokens": rows // group,
        "float": _FLOATS[shape.query.dtype],
        "load_rows": 32 // lanes,
        "load_columns": lanes,
        "box": BOX_COLUMNS,
        "warpgroups": tile.warpgroups,
        "attending": "".join(ATTENDING.format(part=part) for part in range(tile.warpgroups)),
        "warps": [4] * others + [1],
        "registers": [computing] * others + [copying],
    }
    names, buffers, types = operands_of(function, shape, ("query_start", "context_lengths"))
    body = CONSTANTS.format(**values) + FUNCTIONS + KERNEL.format(**values)
    scalars, grid = (Dim.of("S"), Dim.of("P")), shape.tiles(rows // group)
    pages = Box(names.index("p_cache"), D, PAGE_SIZE_TOKENS, BOX_COLUMNS)
    kernel = Kernel(
        *("", body, tuple(buffers), tuple(types), scalars, grid),
        more_warps=4 * tile.warpgroups,  # the last four for the one that copies
        boxes=(pages,),
    )
    return RegionKernels((kernel,))


def _tile(shape: Shape, steps: Steps) -> Tile:
    """A tile takes whole tokens: the queries of one share a warpgroup, or two."""
    H, Hk, D, _ = shape.sizes
    is_long = steps.max_rows is None and D == 64 and padded(H // Hk) <= ROWS
    return LONG_TILE if is_long else TILES[D]
