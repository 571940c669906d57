"""Prefill attention for GPUs of Hopper's kind, where its tiles fit what the region asks for."""

from __future__ import annotations

from ...ir.graph import Function
from ...ir.types import Dim, DType
from .attention_hopper_text import CONSTANTS, FUNCTIONS
from .attention_shape import Shape, operands_of
from .kernel import Kernel, RegionKernels, padded
from .targets import GpuTarget

ROWS = 128  # queries of a tile
BLOCKS = {64: 128, 128: 128, 256: 64}
"""Keys of a block by the width of a head."""
_FLOATS = {DType.F16: "float16", DType.BF16: "bfloat16"}


def is_for_hopper(shape: Shape, target: GpuTarget | None) -> bool:
    """Whether the target runs this form, and the region asks for nothing that it lacks."""
    H, Hk, D, Dv = shape.sizes
    is_plain = not (shape.window or shape.softcap or shape.has_sinks)
    fits = D in BLOCKS and Dv == D and padded(H // Hk) <= ROWS and shape.query.dtype in _FLOATS
    return target is not None and target.has_warpgroup_products and is_plain and fits


def emit_hopper(function: Function, shape: Shape) -> RegionKernels:
    """The kernel of a region."""
    H, Hk, D, _ = shape.sizes
    group = padded(H // Hk)
    lanes = min(32, D // 8)  # of 16 bytes, along a row
    values = shape.values(ROWS, BLOCKS[D]) | {
        "padded_group": group,
        "tokens": ROWS // group,
        "float": _FLOATS[shape.query.dtype],
        "load_rows": 32 // lanes,
        "load_columns": lanes,
    }
    _, buffers, types = operands_of(function, shape, ("query_start", "context_lengths"))
    body = CONSTANTS.format(**values) + FUNCTIONS
    scalars, grid = (Dim.of("S"), Dim.of("P")), shape.tiles(ROWS // group)
    kernel = Kernel("", body, tuple(buffers), tuple(types), scalars, grid, more_warps=8)
    return RegionKernels((kernel,))
