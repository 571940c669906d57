"""Attention of steps of any kind: a block takes a tile of tokens of one sequence and one key head.

Blocks of keys lie at multiples of their size, whatever else is in a step: what a token gets does
not depend on its neighbours.
"""

from __future__ import annotations

from ...artifact.tuning_table import Configuration
from ...ir.graph import Function
from ...ir.types import Dim
from .attention_hopper import emit_hopper, is_for_hopper
from .attention_operands import SEQUENCES, aliases, attention_of, operands_of, query_of_rows
from .attention_problems import HopperTile, Prefill, PrefillTile
from .attention_shape import Shape
from .attention_small import SmallPrefill, is_small
from .attention_text import PREFILL
from .choice import choose
from .kernel import Kernel, RegionKernels, Steps


def emit_prefill(function: Function, steps: Steps, asked: Configuration | None) -> RegionKernels:
    """The kernel of a region, in the target's own form or the one for all."""
    shape = Shape(attention_of(function))
    is_own = is_for_hopper(shape, steps.target)
    problem = SmallPrefill if is_small(shape.heads) else Prefill
    choice = choose(problem(steps.max_rows, shape.heads, is_own, shape.is_plain), asked)
    if isinstance(choice.chosen, HopperTile):
        kernel = emit_hopper(function, shape, choice.chosen)
    else:
        kernel = _emit_portable(function, shape, choice.chosen)
    return RegionKernels((kernel,), choice=choice)


def _emit_portable(function: Function, shape: Shape, tile: PrefillTile) -> Kernel:
    group = shape.heads.group
    tokens = tile.rows // group
    values = shape.values(tile.rows, tile.block) | {"padded_group": group, "tokens": tokens}
    values["loops"] = _loops(shape, values, tile.block)
    names, buffers, types = operands_of(function, SEQUENCES)
    values |= {"aliases": aliases(function, names), "query": query_of_rows(function)}
    body = PREFILL.format(names="".join(f"{name}, " for name in names), **values)
    scalars, grid = (Dim.of("S"), Dim.of("P")), shape.tiles(tokens)
    warps = tile.num_warps, tile.num_stages
    return Kernel("", body, tuple(buffers), tuple(types), scalars, grid, *warps)


def _loops(shape: Shape, values: dict[str, object], block: int) -> str:
    """Over keys that all queries of a tile see, without masks, then over the rest."""
    there, seen = "keys < end", "(keys[None, :] <= positions[:, None])"
    if shape.window:
        begin = f"context + query + 1 - {shape.window}"
        there = f"(keys < end) & (keys >= {begin})"
        seen += f" & (keys[None, :] > positions[:, None] - {shape.window})"
        first = f"    first = tl.maximum({begin}, 0) // {block} * {block}\n"
        return first + shape.loop(values, f"first, end, {block}", there, seen)
    return (
        f"    full_end = (context + query + 1) // {block} * {block}\n"
        + shape.loop(values, f"0, full_end, {block}", "", "")
        + shape.loop(values, f"full_end, end, {block}, num_stages=1", there, seen)
    )
