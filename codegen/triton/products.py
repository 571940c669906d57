"""Prints the loops of products: a matrix by a vector, or tiles through the matrix units.

Both leave the sums of weight i in ``sums<i>``. With a norm before the product, x is scaled by the
norm's weight on the way in, and ``scale`` is left to be multiplied with the sums.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def choose_tile(rows: int | None, n: int, k: int, num_weights: int, dtype: DType) -> Tile:
    """The tile for up to ``rows`` rows, as measured on an H100; few rows want many small blocks."""
    if rows == 1:
        depth = min(padded(k, 16), 2048)
        return Tile(1, max(1, 4096 // depth // num_weights), depth, 4, 3)
    is_wide = dtype.itemsize > 2  # twice the bytes in flight
    if rows is not None and rows <= 64:
        columns = 64 if rows > 16 and n * num_weights >= 16384 else 32
        depth, stages = min(padded(k, 16), 128), 3 if columns == 64 else 4 if rows > 16 else 5
        splits = num_splits(-(-n // columns), k, depth)
        return Tile(padded(rows, 16), columns, depth, 4, 2 if is_wide else stages, splits)
    if rows is not None and rows <= 256:
        depth, num_tiles = min(padded(k, 16), 64), -(-n // 64) * 2  # of 128 rows
        return Tile(64, 64, depth, 4, 2 if is_wide else 4, num_splits(num_tiles, k, depth))
    columns = 128 if num_weights == 1 else 64
    return Tile(128, columns, min(padded(k, 16), 64), 8, 2 if is_wide else 3)


def num_splits(num_tiles: int, k: int, depth: int) -> int:
    """Parts of K, of some steps each and all alike, so that there are about two blocks an SM."""
    splits = 1
    while num_tiles * splits * 2 <= 300 and k % (depth * splits * 2) == 0 and splits < 8:
        splits *= 2
    return splits if k // (depth * splits) >= 2 else max(1, splits // 2)


def vector_loop(
    tile: Tile, n: int, k: int, x: str, weights: list[str], dtype: DType, norm: Node | None
) -> list[str]:
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
        *_normed(norm, f"k{_mask(mask)}", "squares += x * x", "{}"),
    ]
    if norm:
        lines.insert(1, f"squares = tl.zeros([{tile.depth}], tl.float32)")
    row = "n[:, None]" if n * k < 1 << 31 else "n[:, None].to(tl.int64)"
    for i, weight in enumerate(weights):
        lines += [
            f"    w{i} = tl.load({weight} + {row} * {k} + k[None, :]{_mask(weight_mask)},",
            '                 eviction_policy="evict_first")',
            f"    sums{i} += w{i}.to(tl.float32) * x[None, :]",
        ]
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
        lines.insert(2, f"squares = tl.zeros([{tile.rows}], tl.float32)")
        lines.append("    x = x.to(tl.float32)")
        squares, rounded = "squares += tl.sum(x * x, axis=1)", f"({{}}).to({_FLOATS[dtype]})"
        lines += _normed(norm, f"k[None, :]{_mask(inside[3:])}", squares, rounded)
    for i, weight in enumerate(weights):
        lines += [
            f"    w{i} = tl.load({weight} + n[None, :]{wide} * {k} + k[:, None]"
            f"{_mask(weight_mask)})",
            f"    sums{i} = tl.dot(x, w{i}, sums{i}{precision})",
        ]
    lines += _add_up(tile, len(weights)) if tile.splits > 1 else []
    return [*lines, *_scale(norm, k, "squares[:, None]")]


def _add_up(tile: Tile, num_weights: int) -> list[str]:
    """Leaves the sums of all parts of K to the last block of a tile, and ends the others."""
    size = tile.rows * tile.columns
    rows, columns = f"tl.arange(0, {tile.rows})", f"tl.arange(0, {tile.columns})"
    lines = [
        f"i = {rows}[:, None] * {tile.columns} + {columns}[None, :]",
        "tile = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)",
        f"parts = w_sums + tile * {size * tile.splits * num_weights} + i",
    ]
    for w in range(num_weights):
        place = f"(tl.program_id(2) + {w * tile.splits}) * {size}"
        lines.append(f"tl.store(parts + {place}, sums{w})")
    lines += [
        "tl.debug_barrier()",
        'ticket = tl.atomic_add(w_tickets + tile, 1, sem="acq_rel")',
        f"if ticket != {tile.splits - 1}:",
        "    return",
        "tl.store(w_tickets + tile, 0)",
    ]
    for w in range(num_weights):
        for part in range(tile.splits):
            offset = (part + w * tile.splits) * size
            load = f'tl.load(parts + {offset}, cache_modifier=".cg")'
            lines.append(f"sums{w} {'+=' if part else '='} {load}")
    return lines


def _normed(norm: Node | None, place: str, squares: str, rounded: str) -> list[str]:
    """x times the norm's weight; its squares are added up on the way."""
    if norm is None:
        return []
    offset = float(norm.attrs.get("offset", 0.0))
    factor = f"tl.load(p_{name_of(norm.operands[1])} + {place}).to(tl.float32)"
    factor = f"({offset} + {factor})" if offset else factor
    return [f"    {squares}", f"    x = {rounded.format(f'x * {factor}')}"]


def _scale(norm: Node | None, k: int, squares: str) -> list[str]:
    if norm is None:
        return []
    return [f"scale = tl.rsqrt({squares} / {k} + {float(norm.attrs['eps'])!r})"]


def _mask(text: str) -> str:
    return f", mask={text}, other=0.0" if text else ""
