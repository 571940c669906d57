"""Products of many rows on Hopper, by blocks that stay.

A block takes tile after tile. One warp of it has the tensor unit copy the steps of all its tiles
into a ring of slots; three warpgroups compute 64 rows each. So the first steps of a tile are on
their way while the tile before is finished. Sums fill the registers: what is added to them may be
a vector, and no matrix such as a residual.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from textwrap import indent

from ...ir.graph import Node
from ...ir.types import Dim
from . import products_persistent_text as text
from .elements import in_gluon, name_of
from .indices import Index
from .kernel import RegionKernels, grid_of, padded
from .persistent_tiles import (
    COLUMNS,
    DEPTH,
    PART,
    ROWS,
    SLOT_BYTES,
    SLOTS,
    WARPGROUPS,
    Persistent,
)
from .product_region import ProductRegion, with_workspaces
from .streams import FLOATS
from .tiles import NUM_MULTIPROCESSORS

PIECE = 64  # columns that are finished at a time: what is live beside sums stays in registers
_AT_ONCE = 64  # parts of a row's squares


def is_for_persistent(region: ProductRegion) -> bool:
    """Whether a region of single elements asks for nothing that the form lacks.

    Rows that logits are wanted of are few, however many a step has.
    """
    weights = {node.operands[1] for node in region.linears}
    squares = region.scaling.operands[1:] if region.scaling else ()
    added = set(region.function.params) - weights - {region.source, *squares}
    types = {value.dtype for value in (*weights, region.x, region.result)}
    return (
        len(types) == 1
        and region.x.dtype in FLOATS
        and region.result.type.rank == 2
        and region.rows != Dim.of("R")
        and region.summing is None
        and all(value.type.rank == 1 for value in added)
    )


def persistent(region: ProductRegion, form: Persistent) -> RegionKernels:
    """A block for each multiprocessor, whatever the number of rows."""
    columns = _columns_of_each(region)
    kernel = replace(
        region.kernel(_body(region, form), is_shared=False, has_rows=True),
        grid=grid_of(NUM_MULTIPROCESSORS),
        tiles=grid_of((region.rows, ROWS, 1), region.n // columns),
        more_warps=4 * WARPGROUPS,  # the last four for the one that copies
        boxes=region.boxes(PART, columns, DEPTH),
    )
    return with_workspaces(kernel, ())


def _columns_of_each(region: ProductRegion) -> int:
    """Of a tile, of each weight."""
    return COLUMNS // len(region.linears)


def _others(region: ProductRegion) -> str:
    """What the computing warpgroups read and write by pointers."""
    x, weights = region.names_read
    return ", ".join(name for name in region.names if name not in (x, *weights))


def _body(region: ProductRegion, form: Persistent) -> str:
    x, weights = region.names_read
    others = _others(region)
    values = {
        "float": FLOATS[region.x.dtype],
        "n": region.n,
        "k": region.k,
        "depth": DEPTH,
        "slots": SLOTS,
        "slot_bytes": SLOT_BYTES,
        "warpgroups": WARPGROUPS,
        "part": PART,
        "columns": COLUMNS,
        "each": _columns_of_each(region),
        "piece": PIECE,
        "group": form.group,
        "signature": region.signature(is_shared=False, has_rows=True),
        "x": x,
        "weights": ", ".join(weights),
        "others": others,
        "copies": "\n".join(
            text.COPY.format(weight=weight, place=place) for place, weight in enumerate(weights)
        ),
        "scale": _scale(region.scaling, region.k) if region.scaling else "",
        "pieces": indent("\n".join(_pieces(region)), " " * 8),
        "given": ", ".join(_given_names(region)),
        "epilogue": indent("\n".join(_epilogue(region)), " " * 4),
        "computing": "".join(
            text.COMPUTING.format(others=others, part=part) for part in range(WARPGROUPS)
        ),
    }
    return "".join(part.format(**values) for part in (text.CONSTANTS, text.FUNCTIONS, text.KERNEL))


def _given_names(region: ProductRegion, piece: str = "") -> Iterator[str]:
    """What a piece of the result is finished from, besides pointers."""
    for place in range(len(region.linears)):
        yield f"sums{place}{piece}"
    if region.scaling:
        yield "scale"


def _pieces(region: ProductRegion) -> Iterator[str]:
    """Cuts the sums of all weights by columns, and finishes piece after piece."""
    names, count = ["sums"], _columns_of_each(region) // PIECE
    while len(names) < count * len(region.linears):
        for name in names:
            yield f"{name}0, {name}1 = halves({name})"
        names = [f"{name}{half}" for name in names for half in (0, 1)]
    for place, name in enumerate(names):
        weight, piece = divmod(place, count)
        yield f"sums{weight}_{piece} = gl.convert_layout({name}, SUMS, assert_trivial=True)"
    for piece in range(count):
        given = ", ".join(_given_names(region, f"_{piece}"))
        yield f"finish({given}, {_others(region)}, row, column + {piece * PIECE}, num_rows)"


def _epilogue(region: ProductRegion) -> list[str]:
    """What makes a piece of the result of its sums, and stores it."""
    rows = Index("m[:, None]", 0, None, ("(m[:, None] < num_rows)",))
    elements, variable = region.computed(2, (rows, Index("n[None, :]", 0, region.n)))
    store = text.STORE.format(result=variable, name=name_of(region.result))
    return [*in_gluon((*elements.heads, *elements.lines)), *store.splitlines()]


def _scale(scaling: Node, k: int) -> str:
    """Of the rows, by their squares."""
    squares = scaling.operands[1]
    num_parts = int(squares.shape[-1])
    at_once = min(padded(num_parts), _AT_ONCE)
    inside = f" & (first + part < {num_parts})[None, :]" if num_parts % at_once else ""
    return text.SCALE.format(
        squares=f"p_{name_of(squares)}",
        num_parts=num_parts,
        at_once=at_once,
        inside=inside,
        eps=repr(float(scaling.attrs["eps"])),
    )
