"""Products of few rows on Hopper, whose weights never stop streaming.

Weights are the left operand and x the right one, both in shared memory, so that a tile's sums lie
transposed: [columns, rows]. The steps of all tiles, ``depth`` of K each, are one line that blocks
cut into equal shares. A warp of a block has the tensor unit fill a ring of slots with weights, from
before the launch before has ended, and each slot again once it has been used; another adds x. A
tile that several blocks share is added up by the last of them to arrive, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import indent

from ...ir.graph import Node
from . import products_hopper_text as text
from .elements import Elements, Indices, in_gluon, name_of
from .indices import Index
from .kernel import RegionKernels, grid_of, padded
from .product_region import ProductRegion, with_workspaces
from .streams import BOX_COLUMNS, FLOATS, Shares, Stream, num_ahead, shares_of


def streamed(region: ProductRegion, stream: Stream) -> RegionKernels:
    """A block for each multiprocessor, which share the steps of all tiles."""
    shares = shares_of(stream, region.n, region.k)
    is_shared = shares.most_parts > 1
    kernel = replace(
        region.kernel(_body(region, stream, shares), is_shared, has_rows=True),
        grid=grid_of(shares.num_blocks),
        more_warps=4,  # two of them copy
        boxes=region.boxes(stream.rows, stream.columns, BOX_COLUMNS),
    )
    sums = shares.num_tiles * shares.most_parts * _floats_of_part(region, stream)
    return with_workspaces(kernel, (sums, shares.num_tiles) if is_shared else ())


def _floats_of_part(region: ProductRegion, stream: Stream) -> int:
    """What a block leaves of a tile that it shares: sums, and squares of a norm."""
    return stream.rows * (stream.columns * len(region.linears) + (region.norm is not None))


def _body(region: ProductRegion, stream: Stream, shares: Shares) -> str:
    is_shared, has_norm = shares.most_parts > 1, region.norm is not None
    x, weights = region.names_read
    left = stream.columns * len(weights)
    slots = min(stream.slots, shares.share)
    values = (
        vars(stream)
        | shares._asdict()
        | {
            "slots": slots,
            "ahead": num_ahead(slots, left * stream.depth * 2, region.n, region.k),
            "is_reused": shares.share > slots,
            "left": left,
            "num_weights": len(weights),
            "box": BOX_COLUMNS,
            "boxes": stream.depth // BOX_COLUMNS,
            "weight_bytes": left * stream.depth * 2,
            "x_bytes": stream.rows * stream.depth * 2,
            "total": shares.steps * shares.num_tiles,
            "most_parts": shares.most_parts,
            "part_floats": _floats_of_part(region, stream),
            "float": FLOATS[region.x.dtype],
            "signature": region.signature(is_shared, has_rows=True),
            "x": x,
            "weights": ", ".join(weights),
            "copies": "\n".join(
                text.COPY.format(weight=weight, place=place) for place, weight in enumerate(weights)
            ),
            "load_squares": _load_squares(region.scaling) if region.scaling else "",
            "zero_squares": text.ZERO_SQUARES * has_norm,
            "add_squares": text.ADD_SQUARES * has_norm,
            "sum_squares": text.SUM_SQUARES * has_norm,
        }
    )
    values["finish"] = _finish(_epilogue(region), is_shared, has_norm)
    return "".join(part.format(**values) for part in (text.CONSTANTS, text.FUNCTIONS, text.KERNEL))


def _load_squares(scaling: Node) -> str:
    """Squares that are there are on their way while the products' steps are."""
    squares = scaling.operands[1]
    num_parts = int(squares.shape[-1])
    inside = "" if num_parts == padded(num_parts) else f" & (part < {num_parts})"
    names = {"source": f"p_{name_of(squares)}", "num_parts": num_parts, "inside": inside}
    return text.LOAD_SQUARES.format(**names, padded_parts=padded(num_parts))


def _epilogue(region: ProductRegion) -> list[str]:
    """Lines from ``sums`` of all weights to the stores."""
    norm, lines = region.norm or region.scaling, []
    if norm:
        squares = "squares" if region.norm else text.SUM_OF_SQUARES
        scale = f"gl.rsqrt({squares} / {region.k} + {float(norm.attrs['eps'])!r})[None, :]"
        lines = [f"scale = {scale}"]
    rows = Index("m[None, :]", 0, None, ("(m[None, :] < num_rows)",))
    places = rows, Index("n[:, None]", 0, region.n)
    elements = region.stored(2, places)
    if region.summing:
        _store_squares(elements, region.summing, places)
    sums = text.HALVES if len(region.linears) > 1 else text.WHOLE
    return [*sums.splitlines(), *lines, *in_gluon((*elements.heads, *elements.lines))]


def _store_squares(elements: Elements, summing: Node, places: Indices) -> None:
    """Prints the store of a tile's squares, of its rows as they are rounded: one sum for each."""
    rows, num_parts = summing.operands[0], int(summing.result.shape[-1])
    stored_type = f"o_{name_of(rows)}.dtype.element_ty"
    elements.lines += [
        f"kept = {elements.at(rows, places)}.to({stored_type}).to(tl.float32)",
        f"place = o_{name_of(summing.result)} + m * {num_parts} + tile",
        "tl.store(place, tl.sum(kept * kept, 0), mask=m < num_rows)",
    ]


def _finish(lines: Sequence[str], is_shared: bool, has_norm: bool) -> str:
    """What is done with the sums of a tile, or of a block's part of it."""
    if not is_shared:
        return indent("\n".join(lines), " " * 8)
    gathered = text.SHARED.format(
        leave_squares=text.LEAVE_SQUARES * has_norm,
        gather_squares=text.GATHER_SQUARES * has_norm,
    )
    return gathered + indent("\n".join(lines), " " * 12)
