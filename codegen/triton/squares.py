"""Squares of rows that go from the kernel that makes the rows to the products that scale theirs.

Steps of few rows leave them out: there a product adds up the squares beside its sums.
"""

from __future__ import annotations

from dataclasses import replace

from ...ir.graph import Function, Node, Value
from .elements import Elements, Indices, name_of
from .indices import masks_of
from .kernel import Steps, padded
from .tiles import Tile

MAX_ROWS_OF_NORM = 32
"""Rows up to which a product adds up squares by itself; what it stores goes without."""

_MOST_LOADS = 64  # of a thread, which wait in registers until the product is there


def carries_squares(steps: Steps) -> bool:
    """Whether kernels of these steps give and take squares.

    The order of a tile's sums is that of its layout, so a row would not have the same bits in all
    sizes of step.
    """
    is_few = steps.max_rows is not None and steps.max_rows <= MAX_ROWS_OF_NORM
    return not is_few and not steps.batch_invariant


def computed_part(function: Function, steps: Steps) -> Function:
    """The region as these steps compute it, with squares or without."""
    if carries_squares(steps):
        return function
    taken = {node.operands[1] for node in function.nodes if node.op == "norm_by_squares"}
    given = optional_results(function)
    return replace(
        function,
        params=tuple(value for value in function.params if value not in taken),
        nodes=tuple(_alone(node) for node in function.nodes if node.op != "sum_squares"),
        results=tuple(value for value in function.results if value not in given),
    )


def _alone(node: Node) -> Node:
    is_half = node.op == "norm_by_squares"
    return replace(node, op="rms_norm", operands=node.operands[:1]) if is_half else node


def optional_results(function: Function) -> set[Value]:
    """Squares: what kernels of few rows leave out, for none of them reads it."""
    return {node.result for node in function.nodes if node.op == "sum_squares"}


def scaling_of(function: Function) -> Node | None:
    """The norm before the products of a region whose squares are a parameter."""
    return next((node for node in function.nodes if node.op == "norm_by_squares"), None)


def summing_of(function: Function) -> Node | None:
    """What makes the squares of a product's rows, if its region gives them."""
    return next((node for node in function.nodes if node.op == "sum_squares"), None)


def scaled(body: list[str], tile: Tile, scaling: Node) -> list[str]:
    """The lines of a product, then ``scale`` [rows, 1]. Squares are on their way meanwhile."""
    x, squares = scaling.operands
    loads = _loads(tile, f"p_{name_of(squares)}", int(squares.shape[-1]))
    at = body.index("_await_inputs()") + 1
    mean = f"tl.sum(squares, axis=1, keep_dims=True) / {x.shape[-1]}"
    scale = f"scale = tl.rsqrt({mean} + {float(scaling.attrs['eps'])!r})"
    return [*body[:at], *loads, *body[at:], scale]


def _loads(tile: Tile, source: str, num_parts: int) -> list[str]:
    """Leaves ``squares`` [rows, parts], some parts added up where they are many."""
    at_once = min(padded(num_parts), _MOST_LOADS * 32 * tile.num_warps // tile.rows)

    def load(part: str) -> str:
        inside = f" & ({part} < {num_parts})" if num_parts % at_once else ""
        place = f"{source} + row * {num_parts} + {part}"
        return f"tl.load({place}, mask=(row < num_rows){inside}, other=0.0)"

    row = f"(m + tl.arange(0, {tile.rows}))" if tile.boxed else "m"
    lines = [f"row = {row}[:, None]", f"part = tl.arange(0, {at_once})[None, :]"]
    if num_parts <= at_once:
        return [*lines, f"squares = {load('part')}"]
    turns = f"0, {num_parts}, {at_once}, loop_unroll_factor=1"  # else all take registers at once
    return [
        *lines,
        f"squares = tl.zeros([{tile.rows}, {at_once}], tl.float32)",
        f"for first in tl.range({turns}):",
        f"    squares += {load('first + part')}",
    ]


def store_squares(
    elements: Elements, node: Node, places: Indices, tile: tuple[int, int], first: str
) -> None:
    """Prints the store of a tile's squares, of its rows as they are rounded.

    ``tile`` are its rows and columns, ``first`` is its first column.
    """
    rows, width = node.operands[0], min(tile[1], node.attrs["width"])
    row, inside = places[0], " & ".join(masks_of(places[1:]))
    count, num_parts = tile[1] // width, int(node.result.shape[-1])
    masks = [*masks_of((row,)), *([f"(part < {num_parts})"] if inside else [])]
    kept = f"{elements.at(rows, places)}.to(o_{name_of(rows)}.dtype.element_ty).to(tl.float32)"
    place = f"o_{name_of(node.result)} + {row.text} * {num_parts} + part"
    elements.lines += [
        f"kept = {f'tl.where({inside}, {kept}, 0.0)' if inside else kept}",
        f"squares = tl.sum(tl.reshape(kept * kept, [{tile[0]}, {count}, {width}]), axis=2)",
        f"part = {first} // {width} + tl.arange(0, {count})[None, :]",
        f"tl.store({place}, squares{', mask=' + ' & '.join(masks) if masks else ''})",
    ]
