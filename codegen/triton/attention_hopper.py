"""Prefill attention for GPUs of Hopper's kind, where its tiles fit what the region asks for."""

from __future__ import annotations

from ...ir.graph import Function
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim
from .attention_hopper_text import ATTENDING, CONSTANTS, FUNCTIONS, KERNEL
from .attention_operands import SEQUENCES, aliases, operands_of, query_lines
from .attention_problems import HOPPER_REGISTERS, HOPPER_ROWS, HopperTile
from .attention_shape import Shape
from .elements import Elements, in_gluon, name_of
from .indices import Index
from .kernel import Box, Kernel, padded
from .streams import FLOATS
from .targets import GpuTarget

_WIDTHS = (64, 128)  # of heads
BOX_COLUMNS = 64  # 128 bytes: how rows lie in shared memory where products read it


def is_for_hopper(shape: Shape, target: GpuTarget | None) -> bool:
    """Whether the target runs this form, and the region asks for nothing that it lacks."""
    H, Hk, D, Dv = shape.sizes
    is_plain = not (shape.window or shape.softcap or shape.has_sinks)
    fits = D in _WIDTHS and Dv == D and padded(H // Hk) <= 2 * HOPPER_ROWS
    is_known = target is not None and target.has_warpgroup_products
    return is_known and is_plain and fits and shape.query.dtype in FLOATS


def emit_hopper(function: Function, shape: Shape, tile: HopperTile) -> Kernel:
    """The kernel of a region."""
    H, Hk, D, _ = shape.sizes
    group = padded(H // Hk)
    names, buffers, types = operands_of(function, SEQUENCES)
    cache, table = (f"p_{name_of(shape.node.operands[place])}" for place in (1, 4))
    others_read = (cache, table, *(f"p_{name}" for name in SEQUENCES), "o_out")
    made_of = ", ".join(name for name in names if name not in others_read)  # the queries
    rows, others = tile.warpgroups * HOPPER_ROWS, tile.warpgroups - 1
    computing, copying = HOPPER_REGISTERS[tile.warpgroups]
    lanes = min(32, D // 8)  # of 16 bytes, along a row
    values = shape.values(rows, tile.block) | {
        "padded_group": group,
        "tokens": rows // group,
        "float": FLOATS[shape.query.dtype],
        "load_rows": 32 // lanes,
        "load_columns": lanes,
        "box": BOX_COLUMNS,
        "warpgroups": tile.warpgroups,
        "attending": "".join(
            ATTENDING.format(part=part, made_of=made_of) for part in range(tile.warpgroups)
        ),
        "names": ", ".join(names),
        "made_of": made_of,
        "query": _query(function, shape),
        "aliases": aliases(function, names),
        "warps": [4] * others + [1],
        "registers": [computing] * others + [copying],
    }
    body = "".join(text.format(**values) for text in (CONSTANTS, FUNCTIONS, KERNEL))
    scalars, grid = (Dim.of("S"), Dim.of("P")), shape.tiles(rows // group)
    pages = Box(names.index(cache), D, PAGE_SIZE_TOKENS, BOX_COLUMNS)
    return Kernel(
        *("", body, tuple(buffers), tuple(types), scalars, grid),
        more_warps=4 * tile.warpgroups,  # the last four for the one that copies
        boxes=(pages,),
    )


def _query(function: Function, shape: Shape) -> str:
    """Makes the queries of a warpgroup."""
    rows = ("real",)
    token, heads = Index("token", 0, None, rows), Index("heads", 0, shape.sizes[0], rows)
    elements = Elements(function, 2, layout="LOADS")
    return "".join(f"    {line}\n" for line in in_gluon(query_lines(elements, token, heads)))
