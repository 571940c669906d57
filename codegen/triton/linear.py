"""Emits "linear" regions: x times one weight, or two (a gate and an up), then elementwise.

The products' sums meet the epilogue in registers. A step of one row is a matrix-vector product that
streams the weights past it; more rows go through the matrix units in tiles. A norm before the
products is taken along by few rows: each block adds up its squares beside the sums. Of many rows
the squares are there, as `squares` has them; where they are not, the norm is a launch of its own.
"""

from __future__ import annotations

from dataclasses import replace

from ...artifact.schema import GridTerm
from ...artifact.tuning_table import Configuration
from ...ir.graph import Function, Node, Value
from ...ir.types import Dim
from ...passes.fold_norms import norm_of
from ..reshape import number
from .choice import choose
from .elements import Elements, Given, Indices, name_of
from .indices import ZERO, Index, linear_index, masks_of
from .kernel import Box, Kernel, Operand, RegionKernels, Steps, grid_of, params, pointer_type
from .parts import as_part, homes_of
from .product_problem import Product
from .products import box_loop, matrix_loop, num_shared, vector_loop
from .rows import emit_rows
from .squares import MAX_ROWS_OF_NORM, scaled, scaling_of, store_squares, summing_of
from .tiles import Tile

_HIDDEN = Operand("workspace", 0)
_VIEWS = ("reshape", "norm_by_squares")
"""What leaves x where it is: a norm whose squares are there scales the sums."""


def emit_linear(
    function: Function, steps: Steps, asked: Configuration | None = None
) -> RegionKernels:
    """The kernels of a linear region for steps of one size, in tiles that suit it or as asked."""
    norm = norm_of(function)
    if norm is None or _takes_along(norm, steps):
        return _product(function, steps, asked, norm)
    return _after_norm(function, steps, asked, norm)


def _takes_along(norm: Node, steps: Steps) -> bool:
    """Whether the products do the norm: tiles leave x as it is, so there it has no weight."""
    if steps.batch_invariant:
        return False
    most = 1 if len(norm.operands) > 1 else MAX_ROWS_OF_NORM
    return steps.max_rows is not None and steps.max_rows <= most


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
    linears = [node for node in function.nodes if node.op == "linear"]
    result, x = function.results[0], linears[0].operands[0]
    choice = choose(_problem(function, linears, steps, norm), asked)
    tile, k, n = choice.chosen, int(x.shape[-1]), int(result.shape[-1])
    boxes = _boxes(function, linears, tile, k) if tile.boxed else ()
    single, rows = tile.rows == 1, _rows(result)
    elements, places = Elements(function, 1 if single else 2), _places(tile, n)
    scaling, summing = scaling_of(function), summing_of(function)
    for place, node in enumerate(linears):
        elements.given[node.result] = _sums(elements, node, place, norm or scaling)
    _store(elements, result, rows, places)
    if summing:
        store_squares(elements, summing, places, (tile.rows, tile.columns), _first_column(tile))
    source = f"p_{name_of(norm.operands[0] if norm else _source(function, x))}"
    weights = [f"p_{name_of(node.operands[1])}" for node in linears]
    if boxes:
        body = box_loop(tile, n, k, source, weights)
    else:
        loop = vector_loop if single else matrix_loop
        body = loop(tile, n, k, source, weights, x.dtype, norm)
    body = scaled(body, tile, scaling) if scaling else body
    names = [f"p_{name_of(v)}" for v in function.params]
    names += [f"o_{name_of(v)}" for v in function.results]
    shared = ("w_sums", "w_tickets") if tile.splits > 1 else ()
    signature = ", ".join((*names, *shared, *(() if single else ("num_rows",))))
    lines = ["@triton.jit", f"def NAME({signature}):", '    """DOC"""']
    lines += [f"    {line}" for line in (*body, *elements.heads, *elements.lines)]
    results = [Operand("result", place) for place in range(len(function.results))]
    workspaces = [Operand("workspace", place) for place in range(len(shared))]
    kernel = Kernel(
        "",
        "\n".join(lines),
        (*params(*range(len(function.params))), *results, *workspaces),
        (
            *map(pointer_type, (*function.params, *function.results)),
            *("*fp32", "*i32")[: len(shared)],
        ),
        () if single else (rows,),
        _grid(tile, rows, n),
        tile.num_warps,
        tile.num_stages,
        boxes=boxes,
    )
    num_tiles = -(-n // tile.columns) * -(-(steps.max_rows or 1) // tile.rows)
    sums = num_tiles * num_shared(tile, len(linears), norm is not None)
    sizes = (Dim(sums * 4), Dim(num_tiles * 4))[: len(shared)]
    return RegionKernels((kernel,), sizes, frozenset({1} if shared else ()), choice)


def _problem(function: Function, linears: list[Node], steps: Steps, norm: Node | None) -> Product:
    x, result, summing = linears[0].operands[0], function.results[0], summing_of(function)
    return Product(
        rows=steps.max_rows,
        n=int(result.shape[-1]),
        k=int(x.shape[-1]),
        num_weights=len(linears),
        dtype=x.dtype,
        has_norm=norm is not None,
        can_box=norm is None and _are_read_by_products_alone(function, linears),
        batch_invariant=steps.batch_invariant,
        least_columns=summing.attrs["width"] if summing else 1,
    )


def _are_read_by_products_alone(function: Function, linears: list[Node]) -> bool:
    """Whether nothing else reads x or the weights, by pointers."""
    x = linears[0].operands[0]
    source, weights = _source(function, x), {node.operands[1] for node in linears}
    names_of_x = {source, x}
    for node in function.nodes:
        if node in linears:
            others = set(node.operands[2:])
        elif node.op in _VIEWS and node.operands[0] in names_of_x:
            names_of_x.add(node.result)
            others = set(node.operands[1:])
        else:
            others = set(node.operands)
        if others & (names_of_x | weights):
            return False
    return True


def _boxes(function: Function, linears: list[Node], tile: Tile, k: int) -> tuple[Box, ...]:
    """How x and the weights are read."""
    source = _source(function, linears[0].operands[0])
    weights = {node.operands[1] for node in linears}
    return tuple(
        Box(place, k, tile.rows if value == source else tile.columns, tile.depth)
        for place, value in enumerate(function.params)
        if value == source or value in weights
    )


def _store(elements: Elements, result: Value, rows: Dim, places: tuple[Index, Index]) -> None:
    variable = elements.at(result, places)
    place = linear_index(places, [number(rows), number(result.shape[-1])])
    mask = " & ".join(masks_of(places))
    elements.lines.append(
        f"tl.store(o_{name_of(result)} + {place.text}, {variable}{mask and ', mask=' + mask})"
    )


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


def _rows(result: Value) -> Dim:
    """Rows of the product: all leading axes of the result."""
    rows = Dim(1)
    for dim in result.shape[:-1]:
        rows = rows * dim
    return rows


def _source(function: Function, x: Value) -> Value:
    """The parameter whose memory holds x."""
    producers = function.producers()
    while x in producers:
        node = producers[x]
        assert node.op in _VIEWS, f"{node.op} before a product"
        x = node.operands[0]
    return x


def _sums(elements: Elements, node: Node, place: int, norm: Node | None) -> Given:
    def given(indices: Indices) -> str:
        sums = f"sums{place} * scale" if norm else f"sums{place}"
        if len(node.operands) < 3:
            return sums
        return f"{sums} + {elements.at(node.operands[2], indices[-1:])}"

    return given
