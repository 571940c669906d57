"""Products of many rows on Hopper, by blocks that stay, as `persistent_body` has them.

Sums fill the registers: what is added to them may be a vector, and no matrix such as a residual.
"""

from __future__ import annotations

from dataclasses import replace

from ...ir.graph import Node
from ...ir.types import Dim
from . import persistent_text as text
from .elements import name_of
from .indices import Index
from .kernel import RegionKernels, grid_of, padded
from .persistent_body import PersistentBody, Weight
from .persistent_tiles import DEPTH, PART, ROWS, WARPGROUPS, Persistent
from .product_region import ProductRegion, with_workspaces
from .streams import FLOATS
from .tiles import NUM_MULTIPROCESSORS

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
    body = _body(region, form)
    columns = body.columns_of_each
    kernel = replace(
        region.kernel(body.text(), is_shared=False, has_rows=True),
        grid=grid_of(NUM_MULTIPROCESSORS),
        tiles=grid_of((region.rows, ROWS, 1), region.n // columns),
        more_warps=4 * WARPGROUPS,  # the last four for the one that copies
        boxes=region.boxes(PART, columns, DEPTH),
    )
    return with_workspaces(kernel, ())


def _body(region: ProductRegion, form: Persistent) -> PersistentBody:
    x, weights = region.names_read
    rows = Index("m[:, None]", 0, None, ("(m[:, None] < end)",))
    elements, variable = region.computed(2, (rows, Index("n[None, :]", 0, region.n)))
    return PersistentBody(
        signature=region.signature(is_shared=False, has_rows=True),
        dtype=region.x.dtype,
        n=region.n,
        k=region.k,
        x=x,
        weights=[*map(Weight, weights)],
        told="num_rows",
        places=text.BY_ROWS.format(group=form.group),
        others=", ".join(name for name in region.names if name not in (x, *weights)),
        epilogue=(*elements.heads, *elements.lines),
        result=variable,
        target=f"o_{name_of(region.result)}",
        scale=_scale(region.scaling) if region.scaling else "",
    )


def _scale(scaling: Node) -> str:
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
