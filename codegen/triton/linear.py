"""Emits "linear" regions: x times one weight, or two (a gate and an up), then elementwise.

The products' sums meet the epilogue in registers. A step of one row is a matrix-vector product that
streams the weights past it; more rows go through the matrix units in tiles, on Hopper few of them
as `products_hopper` says and very many as `products_persistent` does. A norm before the products is
taken along by few rows: each block adds up its squares beside the sums. Of many rows the squares
are there, as `squares` has them; where they are not, the norm is a launch of its own.
"""

from __future__ import annotations

from dataclasses import replace

from ...artifact.schema import GridTerm
from ...artifact.tuning_table import Configuration
from ...ir.graph import Function, Node
from ...ir.types import Dim
from ...passes.fold_norms import norm_of
from .choice import choose
from .indices import ZERO, Index
from .kernel import Operand, RegionKernels, Steps, grid_of
from .parts import as_part, homes_of
from .persistent_tiles import Persistent
from .product_problem import Product
from .product_region import ProductRegion, with_workspaces
from .products import box_loop, matrix_loop, num_shared, vector_loop
from .products_hopper import streamed
from .products_persistent import is_for_persistent, persistent
from .rows import emit_rows
from .squares import MAX_ROWS_OF_NORM, scaled, store_squares
from .streams import Stream
from .tiles import Tile

_HIDDEN = Operand("workspace", 0)
_MOST_WEIGHTED = 1024
"""The largest K of a row whose product does a norm with a weight: a block then has four columns or
more. Each block reads x and the norm's weight anew; with two that gains nothing, or costs more."""


def emit_linear(
    function: Function, steps: Steps, asked: Configuration | None = None
) -> RegionKernels:
    """The kernels of a linear region for steps of one size, in tiles that suit it or as asked."""
    norm = norm_of(function)
    if norm is None or _takes_along(norm, steps):
        return _product(function, steps, asked, norm)
    return _after_norm(function, steps, asked, norm)


def _takes_along(norm: Node, steps: Steps) -> bool:
    """Whether the products do the norm: tiles leave x as it is, so that with a weight it is one of
    a row alone, and no long one."""
    if steps.batch_invariant or steps.max_rows is None:
        return False
    if len(norm.operands) > 1:
        return steps.max_rows == 1 and int(norm.result.shape[-1]) <= _MOST_WEIGHTED
    return steps.max_rows <= MAX_ROWS_OF_NORM


def _after_norm(
    function: Function, steps: Steps, asked: Configuration | None, norm: Node
) -> RegionKernels:
    """Two launches; the norm's rows go through a workspace."""
    x, name = norm.result, function.name
    others = tuple(node for node in function.nodes if node is not norm)
    rest = tuple(value for value in function.params if value not in norm.operands)
    first = Function(name, norm.operands, (norm,), (x,), {"anchor": "rows"})
    second = replace(function, params=(x, *rest), nodes=others)
    product = _product(second, steps, asked, None)
    homes = homes_of(function) | {x: _HIDDEN}
    kernels = as_part(emit_rows(first, steps), first, homes, "_norm")
    kernels += as_part(product, second, homes, "", 1)
    tickets = frozenset(place + 1 for place in product.tickets)
    workspaces = (x.type.num_bytes(), *product.workspaces)
    return RegionKernels(kernels, workspaces, tickets, product.choice)


def _product(
    function: Function, steps: Steps, asked: Configuration | None, norm: Node | None
) -> RegionKernels:
    region = ProductRegion(function, norm)
    choice = choose(_problem(region, steps), asked)
    form = choice.chosen
    if isinstance(form, Stream):
        made = streamed(region, form)
    elif isinstance(form, Persistent):
        made = persistent(region, form)
    else:
        made = _tiled(region, form, steps)
    return replace(made, choice=choice)


def _problem(region: ProductRegion, steps: Steps) -> Product:
    is_alone = region.reads_by_products_alone()
    has_warpgroups = steps.target is not None and steps.target.has_warpgroup_products
    can_stream = has_warpgroups and is_alone and region.is_of_single_elements()
    return Product(
        rows=steps.max_rows,
        n=region.n,
        k=region.k,
        num_weights=len(region.linears),
        dtype=region.x.dtype,
        has_norm=region.norm is not None,
        can_box=region.norm is None and is_alone,
        can_stream=can_stream,
        can_stay=can_stream and region.norm is None and is_for_persistent(region),
        batch_invariant=steps.batch_invariant,
        least_columns=region.summing.attrs["width"] if region.summing else 1,
    )


def _tiled(region: ProductRegion, tile: Tile, steps: Steps) -> RegionKernels:
    """A block for each tile, or several; what they share is left in workspaces."""
    single, is_shared = tile.rows == 1, tile.splits > 1
    signature = region.signature(is_shared, not single)
    lines = ["@triton.jit", f"def NAME({signature}):", '    """DOC"""']
    lines += [f"    {line}" for line in (*_loop(region, tile), *_epilogue(region, tile))]
    kernel = replace(
        region.kernel("\n".join(lines), is_shared, not single),
        grid=_grid(tile, region.rows, region.n),
        num_warps=tile.num_warps,
        num_stages=tile.num_stages,
        boxes=region.boxes(tile.rows, tile.columns, tile.depth) if tile.boxed else (),
    )
    num_tiles = -(-region.n // tile.columns) * -(-(steps.max_rows or 1) // tile.rows)
    sums = num_tiles * num_shared(tile, len(region.linears), region.norm is not None)
    return with_workspaces(kernel, (sums, num_tiles) if is_shared else ())


def _loop(region: ProductRegion, tile: Tile) -> list[str]:
    """Lines that leave ``sums<i>``, and ``scale`` of a norm."""
    x, weights = region.names_read
    if tile.boxed:
        body = box_loop(tile, region.n, region.k, x, weights)
    else:
        loop = vector_loop if tile.rows == 1 else matrix_loop
        body = loop(tile, region.n, region.k, x, weights, region.x.dtype, region.norm)
    return scaled(body, tile, region.scaling) if region.scaling else body


def _epilogue(region: ProductRegion, tile: Tile) -> list[str]:
    places = _places(tile, region.n)
    elements = region.stored(1 if tile.rows == 1 else 2, places)
    if region.summing:
        sizes = (tile.rows, tile.columns)
        store_squares(elements, region.summing, places, sizes, _first_column(tile))
    return [*elements.heads, *elements.lines]


def _grid(tile: Tile, rows: Dim, n: int) -> tuple[GridTerm, ...]:
    columns = -(-n // tile.columns)
    if tile.rows == 1:
        return grid_of(columns)
    if tile.boxed:
        return grid_of((rows, tile.rows, columns), 1, tile.splits)
    return grid_of((rows, tile.rows, 1), columns, tile.splits)


def _places(tile: Tile, n: int) -> tuple[Index, Index]:
    """Index of the rows and of the columns of a block's tile of the result."""
    inside: tuple[str, ...] = () if n % tile.columns == 0 else (f"(n < {n})",)
    if tile.rows == 1:
        return ZERO, Index("n", 0, n, inside)
    inside = tuple(text.replace("(n <", "(n[None, :] <") for text in inside)
    return (
        Index("m[:, None]", 0, None, ("(m[:, None] < num_rows)",)),
        Index("n[None, :]", 0, n, inside),
    )


def _first_column(tile: Tile) -> str:
    """Of a block's tile; those that are read by boxes have an order of their own."""
    return "tl.min(n, axis=0)" if tile.boxed else f"tl.program_id(1) * {tile.columns}"
