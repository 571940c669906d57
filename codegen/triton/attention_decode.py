"""Attention of steps in which every sequence has one token.

A block takes one token and one key head, for all query heads of that key head at once. Long
contexts are split over several blocks: the last to arrive adds up their parts, in order.
"""

from __future__ import annotations

from ...artifact.tuning_table import Configuration
from ...ir.graph import Function, Node
from ...ir.types import Dim
from .attention_operands import aliases, attention_of, operands_of, query_lines
from .attention_problems import DecodeTile, Heads
from .attention_shape import Shape
from .attention_small import HeldDecode
from .attention_text import COMBINE, DECODE
from .choice import choose
from .elements import Elements, loads_first
from .indices import Index
from .kernel import Kernel, Operand, RegionKernels, Steps, grid_of, padded
from .rows import cache_lines
from .streams import MAX_STREAM_ROWS
from .targets import GpuTarget
from .tiles import NUM_MULTIPROCESSORS

_PARTS = {"tops": "*fp32", "means": "*fp32", "tickets": "*i32"}
_FEW_ROWS, _LEAST_KEYS = 16, 256


def emit_decode(
    function: Function, write: Node | None, steps: Steps, asked: Configuration | None
) -> RegionKernels:
    """The kernel of a region; with ``write`` it also writes the cache."""
    shape = Shape(attention_of(function))
    H, Hk, D, Dv = shape.sizes
    assert steps.max_rows is not None
    choice = choose(HeldDecode(steps.max_rows, shape.heads), asked)
    tile, group = choice.chosen, H // Hk
    splits, values = tile.splits, shape.values(padded(group, 16), tile.block)
    values["splits"], values["group_values"] = splits, group * Dv
    values["least"] = _least_blocks(steps, tile, shape.heads)
    values["combine"] = COMBINE.format(**values) if splits > 1 else ""
    values |= _beginning(steps.max_rows)
    values["first"], there = "0", "keys < end"
    if shape.window:
        block = values["block"]
        values["first"] = f"tl.maximum(length - {shape.window}, 0) // {block} * {block}"
        there = f"(keys < end) & (keys >= length - {shape.window})"
    bounds = f"first, end, {values['block']}"
    values["loop"] = shape.loop(values, bounds, there, "there[None, :]")
    names, buffers, types = operands_of(function)
    values |= {"aliases": aliases(function, names), "making": _making(function, shape, write)}
    parts = list(_PARTS) if splits > 1 else []
    names += [f"w_{part}" for part in parts]
    buffers += [Operand("workspace", place) for place in range(len(parts))]
    types += [_PARTS[part] for part in parts]
    body = DECODE.format(names="".join(f"{name}, " for name in names), **values)
    tokens = shape.node.result.shape[0]
    grid = grid_of(splits, Hk, (tokens, 1, 1))
    scalars, warps = (Dim.of("P"),), (tile.num_warps, tile.num_stages)
    kernel = Kernel("", body, tuple(buffers), tuple(types), scalars, grid, *warps)
    sizes = (tokens * (H * splits * 4), tokens * (H * splits * Dv * 4), tokens * (Hk * 4))
    tickets = frozenset({2} if parts else ())
    return RegionKernels((kernel,), sizes[: len(parts)], tickets, choice)


def _least_blocks(steps: Steps, tile: DecodeTile, heads: Heads) -> int | str:
    """Blocks of keys that a split has at least: a number, or an expression of it.

    Many sequences fill the machine without sharing short contexts, and to add up parts takes longer
    than to read so few keys. Few share all, but by half as many blocks where the machine does not
    hold all of these at once: those that begin when others end would be the last by far.
    """
    rows = steps.max_rows
    if tile.splits == 1 or rows is None or rows == 1:
        return 1
    if rows > _FEW_ROWS:
        return max(1, _LEAST_KEYS // tile.block)
    most = max(1, at_once(steps.target, tile, heads) // heads.num_key_heads)
    return f"tl.where(tl.num_programs(2) * tl.minimum(num_blocks, {tile.splits}) > {most}, 2, 1)"


def at_once(target: GpuTarget | None, tile: DecodeTile, heads: Heads) -> int:
    """Blocks that the machine holds, by the keys and values that each has in shared memory."""
    shared = target.shared_bytes if target else 0
    return NUM_MULTIPROCESSORS * max(1, shared // (tile.block * heads.key_bytes))


def _beginning(max_rows: int) -> dict[str, str]:
    """Where the kernel lets the next launch begin, and where it waits for those before.

    Positions and sequences are inputs, which no launch writes: they may be read before. A split
    without keys ends without having waited, but the first never does: the launch ends after those
    before it.
    """
    if not 1 < max_rows <= MAX_STREAM_ROWS:
        return {"let_next_begin": "", "await_inputs": ""}  # as other kernels do
    return {
        "let_next_begin": "    _let_next_begin()\n",  # its weights are on their way meanwhile
        "await_inputs": "    _await_inputs()\n",
    }


def _making(function: Function, shape: Shape, write: Node | None) -> str:
    """Makes the block's queries; the block with the last keys writes the token's key and value.
    What either reads is asked for before anything is made of it."""
    H, Hk, D, Dv = shape.sizes
    elements = Elements(function, 2)
    token, head = Index("token"), Index("head", 0, Hk)
    heads = Index("heads[:, None]", 0, H, ("real[:, None]",))
    query = query_lines(elements, token, heads)
    loads, making = loads_first(line for line in query if line not in elements.heads)
    if write:
        elements.lines = []
        inner = (head, elements.full(D)), (head, elements.full(Dv))
        loaded, writing = loads_first(cache_lines(elements, write, token, *inner))
        loads += loaded
        making += ["if split == num_splits - 1:"]
        making += [f"    {line}" for line in (*writing, "tl.debug_barrier()")]
    return "".join(f"    {line}\n" for line in (*elements.heads, *loads, *making))
