"""Prefill attention for GPUs of Hopper's kind: heads of any width up to 256, windows, bounded
scores and sinks. Keys and values have one width, since one tensor map reads both."""

from __future__ import annotations

from ...ir.graph import Function
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim
from . import attention_hopper_extras as extras
from .attention_hopper_text import ATTENDING, CONSTANTS, FUNCTIONS, KERNEL
from .attention_operands import SEQUENCES, aliases, operands_of, query_lines
from .attention_problems import HOPPER_ROWS, HopperTile
from .attention_shape import LOG2E, Shape
from .elements import Elements, in_gluon, name_of
from .indices import Index
from .kernel import Box, Kernel, padded
from .streams import BOX_COLUMNS, FLOATS
from .targets import GpuTarget

_WIDEST = 256  # heads: a product's columns
_MOST_WITHOUT_MASKS = 128  # elements of a head
_MADE = 64 * 128  # elements of queries that registers hold while they are made
_ALIGNED = 8  # elements: rows of a tensor map begin at multiples of 16 bytes


def is_for_hopper(shape: Shape, target: GpuTarget | None) -> bool:
    """Whether the target runs this form, and it fits the region's heads."""
    H, Hk, D, Dv = shape.sizes
    fits = D == Dv <= _WIDEST and D % _ALIGNED == 0 and padded(H // Hk) <= 2 * HOPPER_ROWS
    is_known = target is not None and target.has_warpgroup_products
    return is_known and fits and shape.query.dtype in FLOATS


def emit_hopper(function: Function, shape: Shape, tile: HopperTile) -> Kernel:
    """The kernel of a region."""
    H, Hk, D, _ = shape.sizes
    group = padded(H // Hk)
    names, buffers, types = operands_of(function, SEQUENCES)
    cache, table = (f"p_{name_of(shape.node.operands[place])}" for place in (1, 4))
    others_read = (cache, table, *(f"p_{name}" for name in SEQUENCES), "o_out")
    # queries, and sinks
    made_of = ", ".join(name for name in names if name not in others_read)
    rows, others = tile.warpgroups * HOPPER_ROWS, tile.warpgroups - 1
    computing, copying = tile.registers
    width = shape.heads.boxed_dim
    lanes = min(32, width // 8)  # of 16 bytes, along a row
    values = (
        shape.values(rows, tile.block)
        | _extras(shape, width)
        | {
            "dim": width,
            "made": min(HOPPER_ROWS, _MADE // width),
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
            "query": _query(function, shape, width),
            "aliases": aliases(function, names),
            "warps": [4] * others + [1],
            "registers": [computing] * others + [copying],
            "d_mask": "" if width == D else f" & (d < {D})",
        }
    )
    body = "".join(text.format(**values) for text in (CONSTANTS, FUNCTIONS, KERNEL))
    scalars, grid = (Dim.of("S"), Dim.of("P")), shape.tiles(rows // group)
    pages = Box(names.index(cache), D, PAGE_SIZE_TOKENS, BOX_COLUMNS)
    return Kernel(
        *("", body, tuple(buffers), tuple(types), scalars, grid),
        more_warps=4 * tile.warpgroups,  # the last four for the one that copies
        boxes=(pages,),
    )


def _extras(shape: Shape, width: int) -> dict[str, str]:
    """Lines for what the region asks for besides; empty where it does not.

    Wide heads leave no registers for a loop without masks beside the one that has them, nor does
    a bound.
    """
    found = dict.fromkeys(("skip", "clear", "far", "full", "capped", "sinks"), "")
    found["seen"] = extras.SEEN
    if width <= _MOST_WITHOUT_MASKS and not shape.softcap:
        found["full"] = extras.FULL
    if shape.window:
        found["seen"] = extras.SEEN_IN_WINDOW.format(window=shape.window)
        found["skip"] = extras.SKIP.format(window=shape.window)
        found["clear"] = extras.CLEAR
        found["far"] = extras.FAR.format(window=shape.window) if found["full"] else ""
    if shape.softcap:
        factor = 2 * LOG2E * float(shape.node.attrs["scale"]) / shape.softcap
        found["capped"] = extras.CAPPED.format(factor=factor)
    if shape.has_sinks:
        sinks = f"p_{name_of(shape.node.operands[5])}"
        found["sinks"] = extras.SINKS.format(sinks=sinks, log2e=LOG2E)
    return found


def _query(function: Function, shape: Shape, width: int) -> str:
    """Makes the queries of a warpgroup."""
    rows = ("real",)
    token, heads = Index("token", 0, None, rows), Index("heads", 0, shape.sizes[0], rows)
    elements = Elements(function, 2, layout="LOADS")
    lines = query_lines(elements, token, heads, width)
    return "".join(f"        {line}\n" for line in in_gluon(lines))
