"""Emits "linear" regions: x times one weight, or two (a gate and an up), then elementwise.

The products' sums meet the epilogue in registers. A step of one row is a matrix-vector product that
streams the weights past it; more rows go through the matrix units in tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...artifact.schema import GridTerm
from ...ir.graph import Function, Node, Value
from ...ir.types import Dim, DType
from .elements import Elements, Given, Indices, name_of
from .indices import ZERO, Index, linear_index, masks_of, number
from .kernel import Kernel, Operand, RegionKernels, Steps, grid_of, padded, params, pointer_type

NUM_SMS = 132


@dataclass(frozen=True)
class Tile:
    """A block's share: ``rows`` of x by ``columns`` of the result, ``depth`` of K at a time."""

    rows: int
    columns: int
    depth: int
    num_warps: int
    num_stages: int


def emit_linear(function: Function, steps: Steps, tile: Tile | None = None) -> RegionKernels:
    """The kernel of a linear region for steps of one size, in tiles that suit it or as said."""
    linears = [node for node in function.nodes if node.op == "linear"]
    result, x = function.results[0], linears[0].operands[0]
    k, n = int(x.shape[-1]), int(result.shape[-1])
    tile = tile or choose_tile(steps.max_rows, n, k, len(linears), x.dtype)
    single = tile.rows == 1
    rows = _rows(result)
    elements = Elements(function, 1 if single else 2)
    row, column = _places(tile, n)
    for number_of, node in enumerate(linears):
        elements.given[node.result] = _sums(elements, node, number_of)
    variable = elements.at(result, (row, column))
    place = linear_index((row, column), [number(rows), n])
    mask = " & ".join(masks_of((row, column)))
    elements.lines.append(
        f"tl.store(o_{name_of(result)} + {place.text}, {variable}{mask and ', mask=' + mask})"
    )
    source = f"p_{name_of(_source(function, x))}"
    weights = [f"p_{name_of(node.operands[1])}" for node in linears]
    body = (_vector_loop if single else _matrix_loop)(tile, n, k, source, weights, x.dtype)
    names = [f"p_{name_of(v)}" for v in function.params] + [f"o_{name_of(result)}"]
    signature = ", ".join((*names, *(() if single else ("num_rows",))))
    lines = ["@triton.jit", f"def NAME({signature}):", '    """DOC"""']
    lines += [f"    {line}" for line in (*body, *elements.heads, *elements.lines)]
    kernel = Kernel(
        "",
        "\n".join(lines),
        (*params(*range(len(function.params))), Operand("result", 0)),
        (*map(pointer_type, function.params), pointer_type(result)),
        () if single else (rows,),
        _grid(tile, rows, n),
        tile.num_warps,
        tile.num_stages,
    )
    return RegionKernels((kernel,))


def choose_tile(rows: int | None, n: int, k: int, num_weights: int, dtype: DType) -> Tile:
    """The tile for up to ``rows`` rows: few rows want many blocks, each with much in flight."""
    if rows == 1:
        columns = 8 if n * num_weights >= 8 * NUM_SMS * 8 else 4
        return Tile(1, max(1, columns // num_weights), min(padded(k, 16), 1024), 4, 3)
    if rows is not None and rows <= 64:
        columns = 16
        while columns < 64 and n >= 2 * columns * NUM_SMS:
            columns *= 2
        depth = min(padded(k, 16), 256 if rows <= 16 and columns * num_weights <= 32 else 128)
        return Tile(padded(rows, 16), columns, depth, 4, 4 if dtype.itemsize == 2 else 2)
    if rows is not None and rows <= 256:
        return Tile(64, 64, min(padded(k, 16), 64), 4, 4 if dtype.itemsize == 2 else 2)
    columns = 128 if num_weights == 1 else 64
    return Tile(128, columns, min(padded(k, 16), 64), 8, 3 if dtype.itemsize == 2 else 2)


def _grid(tile: Tile, rows: Dim, n: int) -> tuple[GridTerm, ...]:
    columns = -(-n // tile.columns)
    return grid_of(columns) if tile.rows == 1 else grid_of((rows, tile.rows, 1), columns)


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


def _vector_loop(tile: Tile, n: int, k: int, x: str, weights: list[str], dtype: DType) -> list[str]:
    """sums = w x, with products added in f32 lane by lane and across lanes at the end."""
    ragged = k % tile.depth != 0
    mask = f"(k < {k})" if ragged else ""
    both = [f"(k[None, :] < {k})" if ragged else "", f"(n[:, None] < {n})" * (n % tile.columns > 0)]
    weight_mask = " & ".join(filter(None, both))
    lines = [
        f"n = tl.program_id(0) * {tile.columns} + tl.arange(0, {tile.columns})",
        *(
            f"sums{i} = tl.zeros([{tile.columns}, {tile.depth}], tl.float32)"
            for i in range(len(weights))
        ),
        f"for start in tl.range(0, {k}, {tile.depth}, num_stages={tile.num_stages}):",
        f"    k = start + tl.arange(0, {tile.depth})",
        f"    x = tl.load({x} + k{_mask(mask)}).to(tl.float32)",
    ]
    row = "n[:, None]" if n * k < 1 << 31 else "n[:, None].to(tl.int64)"
    for i, weight in enumerate(weights):
        lines += [
            f"    w{i} = tl.load({weight} + {row} * {k} + k[None, :]{_mask(weight_mask)},",
            '                 eviction_policy="evict_first")',
            f"    sums{i} += w{i}.to(tl.float32) * x[None, :]",
        ]
    return [*lines, *(f"sums{i} = tl.sum(sums{i}, axis=1)" for i in range(len(weights)))]


def _matrix_loop(tile: Tile, n: int, k: int, x: str, weights: list[str], dtype: DType) -> list[str]:
    """sums = x w^T in tiles; rows that the step does not have read as zeros."""
    ragged = k % tile.depth != 0
    inside = f" & (k[None, :] < {k})" if ragged else ""
    both = [
        f"(k[:, None] < {k})" if ragged else "",
        f"(n[None, :] < {n})" if n % tile.columns else "",
    ]
    weight_mask = " & ".join(filter(None, both))
    wide = ".to(tl.int64)" if n * k >= 1 << 31 else ""
    precision = ', input_precision="ieee"' if dtype is DType.F32 else ""
    lines = [
        f"m = tl.program_id(0) * {tile.rows} + tl.arange(0, {tile.rows})",
        f"n = tl.program_id(1) * {tile.columns} + tl.arange(0, {tile.columns})",
        *(
            f"sums{i} = tl.zeros([{tile.rows}, {tile.columns}], tl.float32)"
            for i in range(len(weights))
        ),
        f"for start in range(0, {k}, {tile.depth}):",
        f"    k = start + tl.arange(0, {tile.depth})",
        f"    x = tl.load({x} + m[:, None] * {k} + k[None, :],",
        f"                mask=(m[:, None] < num_rows){inside}, other=0.0)",
    ]
    for i, weight in enumerate(weights):
        lines += [
            f"    w{i} = tl.load({weight} + n[None, :]{wide} * {k} + k[:, None]"
            f"{_mask(weight_mask)})",
            f"    sums{i} = tl.dot(x, w{i}, sums{i}{precision})",
        ]
    return lines


def _mask(text: str) -> str:
    return f", mask={text}, other=0.0" if text else ""


def _rows(result: Value) -> Dim:
    """Rows of the product: all leading axes of the result."""
    rows = Dim(1)
    for dim in result.shape[:-1]:
        rows = rows * dim
    return rows


def _source(function: Function, x: Value) -> Value:
    """The parameter whose memory holds x: reshapes move nothing."""
    producers = function.producers()
    while x in producers:
        node = producers[x]
        assert node.op == "reshape", f"{node.op} before a product"
        x = node.operands[0]
    return x


def _sums(elements: Elements, node: Node, place: int) -> Given:
    def given(indices: Indices) -> str:
        if len(node.operands) < 3:
            return f"sums{place}"
        return f"sums{place} + {elements.at(node.operands[2], indices[-1:])}"

    return given
