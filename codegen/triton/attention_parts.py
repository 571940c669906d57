"""Emits attention whose result for a token does not depend on the step that the token is in.

A token's keys are cut at multiples of PART_KEYS of their positions; each part is attended to by
itself, and the parts are joined in order. Who computes a part makes no difference: in small steps
the parts are split over blocks, of which the last to arrive joins them, in others a block goes
through all of them. All steps have the same tile of TILE_ROWS queries by BLOCK_KEYS keys, so that
products and sums are taken in one order. What is rounded is spelled out: where a product is added
to, `tl.fma` says so, not the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...artifact.schema import GridTerm
from ...artifact.tuning_table import Configuration
from ...ir.graph import Function
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim
from .attention_operands import SEQUENCES, aliases, attention_of, operands_of, query_of_rows
from .attention_problems import InParts, PartsTile
from .attention_shape import LOG2E, Shape
from .attention_text import FIND_SEQUENCE
from .choice import choose
from .kernel import Kernel, Operand, RegionKernels, Steps, grid_of, padded

PART_KEYS, BLOCK_KEYS, TILE_ROWS = 256, 64, 64
_SPACES = {"w_tops": "*fp32", "w_totals": "*fp32", "w_sums": "*fp32", "w_tickets": "*i32"}

_JOIN = '''@triton.jit
def _join(top, total, sums, part_top, part_total, part_sums):
    """Adds a part to those before it; a part without keys changes nothing."""
    new_top = tl.maximum(top, part_top)
    shift = tl.where(new_top == float("-inf"), 0.0, new_top)
    fade, part_fade = tl.exp2(top - shift), tl.exp2(part_top - shift)
    total = tl.fma(total, fade, part_total * part_fade)
    fade = tl.broadcast_to(fade[:, None], sums.shape)
    sums = tl.fma(sums, fade, part_sums * part_fade[:, None])
    return new_top, total, sums
'''

_ATTEND = '''@triton.jit
def _attend(q, p_cache, p_pages, head, positions, begin, first, end):
    """Largest score, sum of weights and weighted sums of the keys from `first` to `end`; what is
    before `begin` is not there."""
    d = tl.arange(0, {dim})
    e = tl.arange(0, {value_dim})
    top = tl.full([{rows}], float("-inf"), tl.float32)
    total = tl.zeros([{rows}], tl.float32)
    sums = tl.zeros([{rows}, {value_dim}], tl.float32)
    for start in range(first, end, {block}):
        keys = start + tl.arange(0, {block})
        there = (keys >= begin) & (keys < end)
        page = tl.load(p_pages + keys // {page}, mask=there, other=0)
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {D}
        k = tl.load(p_cache + head * {head_keys} + place[None, :] + d[:, None],
                    mask=there[None, :]{d_inside}, other=0.0)
        scores = tl.dot(q, k{precision}) * {scale}
{softcap}        seen = there[None, :] & {causal}
        scores = tl.where(seen, scores * {log2e}, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        shift = tl.where(new_top == float("-inf"), 0.0, new_top)
        weights = tl.exp2(scores - shift[:, None])
        fade = tl.exp2(top - shift)
        total = tl.fma(total, fade, tl.sum(weights, axis=1))
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {Dv}
        v = tl.load(p_cache + {values} + head * {head_values} + place[:, None] + e[None, :],
                    mask=there[:, None]{e_mask}, other=0.0)
        sums = tl.dot(weights.to(v.dtype), v, sums * fade[:, None]{precision})
        top = new_top
    return top, total, sums
'''

_ONE_TOKEN = """    sequence, query_start, query, num_queries = tile, tile, 0, 1
"""

_BODY = '''@triton.jit
def NAME({names}num_sequences, num_table_columns):
    """DOC"""
{aliases}    tile = tl.program_id(0)
    head = tl.program_id(1)
{find}    context = tl.load(p_context_lengths + sequence) - num_queries
    end = tl.minimum(context + query + {tokens}, context + num_queries)
    begin = {begin}
    first_part = begin // {part}
    end_part = (end + {part} - 1) // {part}
    i = tl.arange(0, {rows})
    e = tl.arange(0, {value_dim})
    local = query + i // {padded_group}
    heads = head * {group} + i % {padded_group}
    real = (local < num_queries) & (i % {padded_group} < {group})
    positions = context + local
    row = (query_start + local) * {H} + heads
    p_pages = p_table + sequence * num_table_columns
{query}    top = tl.full([{rows}], float("-inf"), tl.float32)
    total = tl.zeros([{rows}], tl.float32)
    sums = tl.zeros([{rows}, {value_dim}], tl.float32)
{parts}{sinks}    result = sums / tl.maximum(total, 1e-30)[:, None]
    tl.store(o_out + row[:, None] * {Dv} + e[None, :], result, mask=real[:, None]{e_mask})'''

_IN_TURN = """    for part in range(first_part, end_part):
        part_end = tl.minimum(part * {part} + {part}, end)
        part_top, part_total, part_sums = _attend(
            q, p_cache, p_pages, head, positions, begin, part * {part}, part_end)
        top, total, sums = _join(top, total, sums, part_top, part_total, part_sums)
"""

_SPLIT = """    split = tl.program_id(2)
    num_splits = tl.maximum(tl.minimum(end_part - first_part, {splits}), 1)
    if split >= num_splits:
        return
    place = row * ((num_table_columns + {part_pages} - 1) // {part_pages})
    for part in range(first_part + split, end_part, {splits}):
        part_end = tl.minimum(part * {part} + {part}, end)
        part_top, part_total, part_sums = _attend(
            q, p_cache, p_pages, head, positions, begin, part * {part}, part_end)
        tl.store(w_tops + place + part, part_top, mask=real)
        tl.store(w_totals + place + part, part_total, mask=real)
        tl.store(w_sums + (place + part).to(tl.int64)[:, None] * {value_dim} + e[None, :],
                 part_sums, mask=real[:, None])
    tl.debug_barrier()
    ticket = tl.atomic_add(w_tickets + tile * {Hk} + head, 1, sem="acq_rel")
    if ticket != num_splits - 1:
        return
    tl.store(w_tickets + tile * {Hk} + head, 0)
    for part in range(first_part, end_part):
        part_top = tl.load(w_tops + place + part, mask=real, other=float("-inf"),
                           cache_modifier=".cg")
        part_total = tl.load(w_totals + place + part, mask=real, other=0.0, cache_modifier=".cg")
        part_sums = tl.load(
            w_sums + (place + part).to(tl.int64)[:, None] * {value_dim} + e[None, :],
            mask=real[:, None], other=0.0, cache_modifier=".cg")
        top, total, sums = _join(top, total, sums, part_top, part_total, part_sums)
"""


def emit_in_parts(function: Function, steps: Steps, asked: Configuration | None) -> RegionKernels:
    """The kernel of an attention region for steps of one size; its bits are those of all sizes."""
    shape = Shape(attention_of(function))
    choice = choose(InParts(steps.max_rows, shape.heads.num_key_heads), asked)
    values = _values(shape, steps, choice.chosen)
    inputs = SEQUENCES[1:] if steps.one_token_each else SEQUENCES
    names, buffers, types = operands_of(function, inputs)
    values |= {"aliases": aliases(function, names), "query": query_of_rows(function)}
    spaces = _SPACES if values["splits"] > 1 else {}
    values["names"] = "".join(f"{name}, " for name in (*names, *spaces))
    texts = (text.format(**values) for text in (_ATTEND, _JOIN, _BODY))
    kernel = Kernel(
        "",
        "\n\n".join(texts),
        (*buffers, *(Operand("workspace", place) for place in range(len(spaces)))),
        (*types, *spaces.values()),
        (Dim.of("S"), Dim.of("P")),
        _grid(function, steps, values),
        num_stages=choice.chosen.num_stages,
    )
    tickets = frozenset({3} if spaces else ())
    return RegionKernels((kernel,), _sizes(steps, values), tickets, choice)


def _values(shape: Shape, steps: Steps, tile: PartsTile) -> dict[str, Any]:
    """What fills the texts; only `find` and `parts` depend on the steps."""
    H, Hk, D, Dv = shape.sizes
    group, window, softcap = padded(H // Hk), shape.window, shape.softcap
    rows = max(TILE_ROWS, group)
    causal = "(keys[None, :] <= positions[:, None])"
    if window:
        causal += f" & (keys[None, :] > positions[:, None] - {window})"
    values: dict[str, Any] = shape.values(rows, BLOCK_KEYS) | {
        **{"padded_group": group, "causal": causal, "log2e": LOG2E, "part": PART_KEYS},
        "part_pages": PART_KEYS // PAGE_SIZE_TOKENS,
        "tokens": 1 if steps.one_token_each else rows // group,
        "splits": tile.splits,
        "begin": f"tl.maximum(context + query + 1 - {window}, 0)" if window else "0",
        "scale": float(shape.node.attrs["scale"]),
        "softcap": f"        scores = _tanh(scores / {softcap}) * {softcap}\n" if softcap else "",
        "d_inside": "" if padded(D, 16) == D else f" & (d[:, None] < {D})",
    }
    values["find"] = (_ONE_TOKEN if steps.one_token_each else FIND_SEQUENCE).format(**values)
    values["parts"] = (_SPLIT if values["splits"] > 1 else _IN_TURN).format(**values)
    return values


def _grid(function: Function, steps: Steps, values: Mapping[str, Any]) -> tuple[GridTerm, ...]:
    """Tiles, each of one sequence's tokens, by key heads by splits."""
    count, tokens = function.results[0].shape[0], values["tokens"]
    if not steps.one_token_each:
        count = count + Dim.of("S") * tokens
    return grid_of((count, tokens, 1), values["Hk"], values["splits"])


def _sizes(steps: Steps, values: Mapping[str, Any]) -> tuple[Dim, ...]:
    """Bytes of what parts leave, for as many as the longest context has, and of the tickets."""
    if values["splits"] == 1:
        return ()
    assert steps.max_rows is not None
    rows, width = steps.max_rows * values["H"], values["value_dim"]
    tops, sums = (
        Dim.of("P") * (-(-rows * size // values["part_pages"]) * 4) + rows * size * 4
        for size in (1, width)
    )
    return tops, tops, sums, Dim(2 * steps.max_rows * values["Hk"] * 4)
