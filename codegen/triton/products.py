"""Prints the loops of products: a matrix by a vector, or tiles through the matrix units.

Both leave the sums of weight i in ``sums<i>``. With a norm before the product, ``scale`` is left to
be multiplied with the sums; a vector is also scaled by the norm's weight on the way in, if any.
"""

from __future__ import annotations

from ...ir.graph import Node
from ...ir.types import DType
from .elements import name_of
from .tiles import Tile

GROUP = 16  # rows of tiles that are walked together: what they read stays in the cache


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
    lines = _in_parts(tile, k, len(weights), norm is not None, lines)
    return [*lines, *_scale(norm, k, "squares[:, None]")]


def box_loop(tile: Tile, n: int, k: int, x: str, weights: list[str]) -> list[str]:
    """sums = x w^T in tiles whose operands are read by boxes; K may be shared by blocks."""
    columns, depth = -(-n // tile.columns), k // tile.splits
    place = f"tl.program_id(0) // {columns}, tl.program_id(0) % {columns}"
    first = f"tl.program_id(2) * {depth} + " if tile.splits > 1 else ""
    lines = [
        f"num_m = tl.cdiv(num_rows, {tile.rows})",
        f"m, n = tl.swizzle2d({place}, num_m, {columns}, {GROUP})",
        f"m, n = m * {tile.rows}, n * {tile.columns}",
        "_await_inputs()",
        *(
            f"sums{i} = tl.zeros([{tile.rows}, {tile.columns}], tl.float32)"
            for i in range(len(weights))
        ),
        f"for start in range(0, {depth}, {tile.depth}):",
        f"    k = {first}start",
        f"    x = _box({x}, m, k, num_rows, {k}, {tile.rows}, {tile.depth})",
    ]
    for i, weight in enumerate(weights):
        lines += [
            f"    w{i} = _box({weight}, n, k, {n}, {k}, {tile.columns}, {tile.depth})",
            f"    sums{i} = tl.dot(x, w{i}.T, sums{i})",
        ]
    return [
        *_in_parts(tile, k, len(weights), False, lines),
        f"m += tl.arange(0, {tile.rows})",
        f"n += tl.arange(0, {tile.columns})",
    ]


def _in_parts(tile: Tile, k: int, num_weights: int, has_norm: bool, lines: list[str]) -> list[str]:
    """The lines of a loop over K, and what adds up parts: the last of several blocks, or a block
    that goes through all of them; in either case in order."""
    if tile.splits > 1:
        return [*lines, *_add_up(tile, num_weights, has_norm)]
    if tile.parts == 1:
        return lines
    assert not has_norm, "the squares of a norm are not added up in turn"
    at = next(place for place, line in enumerate(lines) if line.startswith("for start"))
    size, zeros = k // tile.parts, lines[at - num_weights : at]
    loop = f"for start in range(part * {size}, part * {size} + {size}, {tile.depth}):"
    return [
        *lines[: at - num_weights],
        *(line.replace("sums", "totals", 1) for line in zeros),
        f"for part in range({tile.parts}):",
        *(f"    {line}" for line in (*zeros, loop, *lines[at + 1 :])),
        *(f"    totals{i} += sums{i}" for i in range(num_weights)),
        *(f"sums{i} = totals{i}" for i in range(num_weights)),
    ]


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
