"""Prints the loops of products: a matrix by a vector, or tiles through the matrix units.

Both leave the sums of weight i in ``sums<i>``. With a norm before the product, ``scale`` is left to
be multiplied with the sums; a vector is also scaled by the norm's weight on the way in, if any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...ir.graph import Node
from ...ir.types import DType
from .elements import name_of
from .kernel import padded

_FLOATS = {DType.F32: "tl.float32", DType.F16: "tl.float16", DType.BF16: "tl.bfloat16"}


@dataclass(frozen=True)
class Tile:
    """A block's share: ``rows`` of x by ``columns`` of the result, ``depth`` of K at a time.

    With ``splits``, so many blocks share a tile, each with a part of K: the last one to arrive adds
    up their sums, in order.
    """

    rows: int
    columns: int
    depth: int
    num_warps: int
    num_stages: int
    splits: int = 1


NUM_MULTIPROCESSORS = 132  # of an H100 or H200
MOST = NUM_MULTIPROCESSORS * 2 // 3
SHARED_BYTES = 200 << 10  # of one of them, for the tiles of its blocks


def choose_tile(rows: int | None, n: int, k: int, num_weights: int, dtype: DType) -> Tile:
    """The tile for up to ``rows`` rows, as measured on an H100.

    A row alone wants many small blocks. Tiles want to be large and to come in one wave, with much
    of their weights on the way; where there are too few, K is split.
    """
    if rows == 1:
        depth = min(padded(k, 16), 2048)
        return Tile(1, max(1, 4096 // depth // num_weights), depth, 4, 3)
    if rows is None or rows > 256 or dtype.itemsize > 2:
        return _plain_tile(rows, k, num_weights, dtype)
    choices = _few_rows(padded(rows, 16), num_weights) if rows <= 64 else _some_rows(num_weights)
    choices = [replace(tile, depth=min(tile.depth, padded(k, 16))) for tile in choices]
    if num_blocks(choices[0], rows, n) >= 4 * NUM_MULTIPROCESSORS:
        return choices[0]
    whole = choices[1:] if num_weights > 1 else []  # two products share x: better than to split
    tiles = [*whole, *(_split(tile, rows, n, k) for tile in choices[1:])]
    fitting = [tile for tile in tiles if _fills(tile, num_blocks(tile, rows, n), num_weights)]
    return (fitting or tiles[-1:])[0]


def _plain_tile(rows: int | None, k: int, num_weights: int, dtype: DType) -> Tile:
    """For any number of rows, or numbers of twice the bytes."""
    stages = 2 if dtype.itemsize > 2 else 3
    if rows is not None and rows <= 64:
        return Tile(padded(rows, 16), 32, min(padded(k, 16), 128), 4, stages)
    if rows is not None and rows <= 256:
        return Tile(64, 64, min(padded(k, 16), 64), 4, stages)
    columns = 128 if num_weights == 1 else 64
    return Tile(128, columns, min(padded(k, 16), 64), 8, stages)


def _few_rows(rows: int, num_weights: int) -> list[Tile]:
    """Tiles of all rows: for very many columns, then the best first."""
    many = Tile(rows, 64, 128, 4, 3)
    small = Tile(rows, 32, 128, 4, 5 if rows <= 32 else 4)
    if num_weights > 1 or rows > 32:
        return [many, replace(many, num_stages=3 if rows * num_weights > 64 else 5), small]
    deep = Tile(rows, 32, 256, 4, 5)
    deepest = [replace(deep, columns=64)] if rows == 16 else []
    return [many, *deepest, deep, small]


def _some_rows(num_weights: int) -> list[Tile]:
    """Tiles of some of 256 rows: for very many columns, then the best first."""
    many, stages = Tile(128, 128, 64, 8, 3), 5 if num_weights == 1 else 3
    smallest = Tile(64, 64, 128 // num_weights, 4, stages)
    return [many, replace(many, num_stages=stages), Tile(64, 128, 64, 4, stages), smallest]


def num_blocks(tile: Tile, rows: int, n: int) -> int:
    """Blocks of a product of ``rows`` rows."""
    return -(-n // tile.columns) * -(-rows // tile.rows) * tile.splits


def _fills(tile: Tile, count: int, num_weights: int) -> bool:
    """Whether most multiprocessors have a block, and the last of several waves leaves few idle."""
    shared = (tile.rows + tile.columns * num_weights) * tile.depth * 2 * tile.num_stages
    wave = NUM_MULTIPROCESSORS * max(1, SHARED_BYTES // shared)
    return MOST <= count <= wave or count >= 0.8 * wave * -(-count // wave)


def _split(tile: Tile, rows: int, n: int, k: int) -> Tile:
    """The tile with as few parts of K, all alike, as give most multiprocessors a block.

    What parts leave for the last of them to add up must stay small beside the weights.
    """
    most = 8 if rows <= 64 else k // 4096
    while num_blocks(tile, rows, n) < MOST:
        more = replace(tile, splits=tile.splits * 2)
        if more.splits > most or k % (tile.depth * more.splits) or k < 2 * tile.depth * more.splits:
            break
        tile = more
    return tile


def vector_loop(
    tile: Tile, n: int, k: int, x: str, weights: list[str], dtype: DType, norm: Node | None
) -> list[str]:
    """sums = w x, with products added in f32 lane by lane and across lanes at the end.

    The first weights are on their way before x is there.
    """
    ragged = k % tile.depth != 0
    mask = f"(k < {k})" if ragged else ""
    both = [f"(k[None, :] < {k})" if ragged else "", f"(n[:, None] < {n})" * (n % tile.columns > 0)]
    weight_mask = _mask(" & ".join(filter(None, both)))
    row = "n[:, None]" if n * k < 1 << 31 else "n[:, None].to(tl.int64)"
    load = [
        f"w{i} = tl.load({weight} + {row} * {k} + k[None, :]{weight_mask},\n"
        '        eviction_policy="evict_first")'
        for i, weight in enumerate(weights)
    ]
    add = [
        f"x = tl.load({x} + k{_mask(mask)}).to(tl.float32)",
        *_normed(norm, f"k{_mask(mask)}"),
        *(f"sums{i} += w{i}.to(tl.float32) * x[None, :]" for i in range(len(weights))),
    ]
    lines = [
        f"n = tl.program_id(0) * {tile.columns} + tl.arange(0, {tile.columns})",
        f"k = tl.arange(0, {tile.depth})",
        *load,
        "_let_next_begin()",
        "_await_inputs()",
        *([f"squares = tl.zeros([{tile.depth}], tl.float32)"] if norm else []),
        *(
            f"sums{i} = tl.zeros([{tile.columns}, {tile.depth}], tl.float32)"
            for i in range(len(weights))
        ),
        *add,
    ]
    if k > tile.depth:
        turns = f"{tile.depth}, {k}, {tile.depth}, num_stages={tile.num_stages}"
        body = [f"k = start + tl.arange(0, {tile.depth})", *load, *add]
        lines += [f"for start in tl.range({turns}):", *(f"    {line}" for line in body)]
    lines += [f"sums{i} = tl.sum(sums{i}, axis=1)" for i in range(len(weights))]
    return [*lines, *_scale(norm, k, "tl.sum(squares)")]


def matrix_loop(
    tile: Tile, n: int, k: int, x: str, weights: list[str], dtype: DType, norm: Node | None
) -> list[str]:
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
    first = f"tl.program_id(2) * {k // tile.splits} + " if tile.splits > 1 else ""
    lines = [
        f"m = tl.program_id(0) * {tile.rows} + tl.arange(0, {tile.rows})",
        f"n = tl.program_id(1) * {tile.columns} + tl.arange(0, {tile.columns})",
        "_await_inputs()",
        *(
            f"sums{i} = tl.zeros([{tile.rows}, {tile.columns}], tl.float32)"
            for i in range(len(weights))
        ),
        f"for start in range(0, {k // tile.splits}, {tile.depth}):",
        f"    k = {first}start + tl.arange(0, {tile.depth})",
        f"    x = tl.load({x} + m[:, None] * {k} + k[None, :],",
        f"                mask=(m[:, None] < num_rows){inside}, other=0.0)",
    ]
    if norm:
        lines.insert(0, f"squares = tl.zeros([{tile.rows}, {tile.rows}], tl.float32)")
        lines.append(f"    squares = tl.dot(x, tl.trans(x), squares{precision})")
    for i, weight in enumerate(weights):
        lines += [
            f"    w{i} = tl.load({weight} + n[None, :]{wide} * {k} + k[:, None]"
            f"{_mask(weight_mask)})",
            f"    sums{i} = tl.dot(x, w{i}, sums{i}{precision})",
        ]
    if norm:
        place = f"tl.arange(0, {tile.rows})"
        diagonal = f"tl.where({place}[:, None] == {place}[None, :], squares, 0.0)"
        lines.append(f"squares = tl.sum({diagonal}, axis=1)")
    lines += _add_up(tile, len(weights), norm is not None) if tile.splits > 1 else []
    return [*lines, *_scale(norm, k, "squares[:, None]")]


def num_shared(tile: Tile, num_weights: int, has_norm: bool) -> int:
    """Floats that the blocks of one tile leave for the last of them."""
    return tile.splits * tile.rows * (tile.columns * num_weights + has_norm)


def _add_up(tile: Tile, num_weights: int, has_norm: bool) -> list[str]:
    """Leaves the sums of all parts of K to the last block of a tile, and ends the others."""
    size, splits = tile.rows * tile.columns, tile.splits
    lines = [
        f"i = tl.arange(0, {tile.rows})",
        f"ij = i[:, None] * {tile.columns} + tl.arange(0, {tile.columns})[None, :]",
        "tile = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)",
        f"parts = w_sums + tile * {num_shared(tile, num_weights, has_norm)}",
    ]
    shared = [(f"sums{w}", "ij", w * splits * size, size) for w in range(num_weights)]
    if has_norm:
        shared.append(("squares", "i", num_weights * splits * size, tile.rows))
    for name, place, start, step in shared:
        lines.append(f"tl.store(parts + {start} + tl.program_id(2) * {step} + {place}, {name})")
    lines += [
        "tl.debug_barrier()",
        'ticket = tl.atomic_add(w_tickets + tile, 1, sem="acq_rel")',
        f"if ticket != {splits - 1}:",
        "    return",
        "tl.store(w_tickets + tile, 0)",
    ]
    for name, place, start, step in shared:
        for part in range(splits):
            load = f'tl.load(parts + {start + part * step} + {place}, cache_modifier=".cg")'
            lines.append(f"{name} {'+=' if part else '='} {load}")
    return lines


def _normed(norm: Node | None, place: str) -> list[str]:
    """x times the norm's weight, if it has one; its squares are added up on the way."""
    if norm is None:
        return []
    if len(norm.operands) == 1:
        return ["squares += x * x"]
    offset = float(norm.attrs.get("offset", 0.0))
    factor = f"tl.load(p_{name_of(norm.operands[1])} + {place}).to(tl.float32)"
    factor = f"({offset} + {factor})" if offset else factor
    return ["squares += x * x", f"x = x * {factor}"]


def _scale(norm: Node | None, k: int, squares: str) -> list[str]:
    if norm is None:
        return []
    return [f"scale = tl.rsqrt({squares} / {k} + {float(norm.attrs['eps'])!r})"]


def _mask(text: str) -> str:
    return f", mask={text}, other=0.0" if text else ""
