"""Emits "attention" regions: one paged_attention over the pages of each token's sequence.

Two kernels. *Decode* takes one token and one key head a block, for all query heads of that key head
at once, and splits long contexts over several blocks: the last to arrive adds up their partial
results, in order. *Prefill* takes a tile of tokens of one sequence with all their query heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ...ir.graph import Function, Node, Value
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim, DType
from .kernel import (
    TYPES,
    Kernel,
    Operand,
    RegionKernels,
    Steps,
    grid_of,
    padded,
    pointer_type,
)

BLOCK_KEYS = 64
_LOG2E = 1.4426950408889634

_SETUP = """    i = tl.arange(0, {rows})
    d = tl.arange(0, {dim})
    e = tl.arange(0, {value_dim})
    step_keys = tl.arange(0, {block})"""

_LOOP = """    for start in range(first, end, {block}):
        keys = start + step_keys
        there = keys < end
        page = tl.load(p_table + sequence * num_table_columns + keys // {page}, mask=there, other=0)
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {D}
        k = tl.load(p_cache + head * {head_keys} + place[None, :] + d[:, None],
                    mask=there[None, :]{d_mask_rows}, other=0.0)
        scores = tl.dot(q, k{precision}) * {scale}
{softcap}        seen = there[None, :] & {causal}
        scores = tl.where(seen, scores * {log2e}, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        shift = tl.where(new_top == float("-inf"), 0.0, new_top)
        weights = tl.exp2(scores - shift[:, None])
        fade = tl.exp2(top - shift)
        total = total * fade + tl.sum(weights, axis=1)
        place = page.to(tl.int64) * {page_elements} + keys % {page} * {Dv}
        v = tl.load(p_cache + {values} + head * {head_values} + place[:, None] + e[None, :],
                    mask=there[:, None]{e_mask}, other=0.0)
        sums = sums * fade[:, None] + tl.dot(weights.to(v.dtype), v{precision})
        top = new_top
"""

_SINKS = """    sink = tl.load(p_sinks + heads, mask=real, other=0.0).to(tl.float32) * {log2e}
    new_top = tl.maximum(top, sink)
    total = total * tl.exp2(top - new_top) + tl.exp2(sink - new_top)
    sums = sums * tl.exp2(top - new_top)[:, None]
"""

_DECODE = """@triton.jit
def NAME({names}num_table_columns):
    \"\"\"DOC\"\"\"
    token = tl.program_id(0)
    head = tl.program_id(1)
    split = tl.program_id(2)
    position = tl.load(p_positions + token)
    sequence = tl.load(p_sequence_ids + token)
    length = position + 1
    first = {window_start}
    num_blocks = (length - first + {block} - 1) // {block}
    per_split = tl.maximum((num_blocks + {splits} - 1) // {splits}, 1)
    num_splits = tl.maximum((num_blocks + per_split - 1) // per_split, 1)
    if split >= num_splits:
        return
    first += split * per_split * {block}
    end = tl.minimum(first + per_split * {block}, length)
{setup}
    heads = head * {group} + i
    real = i < {group}
    q = tl.load(p_q + token * {stride} + {offset} + heads[:, None] * {D} + d[None, :],
                mask=real[:, None]{d_mask}, other=0.0)
    top = tl.full([{rows}], float("-inf"), tl.float32)
    total = tl.zeros([{rows}], tl.float32)
    sums = tl.zeros([{rows}, {value_dim}], tl.float32)
{loop}{combine}{sinks}    result = sums / tl.maximum(total, 1e-30)[:, None]
    tl.store(o_out + (token * {H} + heads[:, None]) * {Dv} + e[None, :], result,
             mask=real[:, None]{e_mask_rows})"""

_COMBINE = """    if num_splits > 1:
        part = (token * {Hk} + head) * {splits}
        tl.store(w_tops + (part + split) * {rows} + i, top)
        tl.store(w_totals + (part + split) * {rows} + i, total)
        tl.store(w_sums + ((part + split) * {rows} + i[:, None]) * {value_dim} + e[None, :], sums)
        tl.debug_barrier()
        ticket = tl.atomic_add(w_tickets + token * {Hk} + head, 1, sem="acq_rel")
        if ticket != num_splits - 1:
            return
        tl.store(w_tickets + token * {Hk} + head, 0)
        top = tl.full([{rows}], float("-inf"), tl.float32)
        total = tl.zeros([{rows}], tl.float32)
        sums = tl.zeros([{rows}, {value_dim}], tl.float32)
        for other in range(0, num_splits):
            other_top = tl.load(w_tops + (part + other) * {rows} + i, cache_modifier=".cg")
            other_total = tl.load(w_totals + (part + other) * {rows} + i, cache_modifier=".cg")
            other_sums = tl.load(
                w_sums + ((part + other) * {rows} + i[:, None]) * {value_dim} + e[None, :],
                cache_modifier=".cg")
            new_top = tl.maximum(top, other_top)
            shift = tl.where(new_top == float("-inf"), 0.0, new_top)
            fade, other_fade = tl.exp2(top - shift), tl.exp2(other_top - shift)
            total = total * fade + other_total * other_fade
            sums = sums * fade[:, None] + other_sums * other_fade[:, None]
            top = new_top
"""

_PREFILL = """@triton.jit
def NAME({names}num_sequences, num_table_columns):
    \"\"\"DOC\"\"\"
    tile = tl.program_id(0)
    head = tl.program_id(1)
    low, high = 0, num_sequences  # the last sequence whose first tile is not after this one
    while high - low > 1:
        middle = (low + high) // 2
        after = tl.load(p_query_start + middle) // {tokens} + middle > tile
        low, high = tl.where(after, low, middle), tl.where(after, middle, high)
    sequence = low
    query_start = tl.load(p_query_start + sequence)
    num_queries = tl.load(p_query_start + sequence + 1) - query_start
    query = (tile - query_start // {tokens} - sequence) * {tokens}
    if query >= num_queries:
        return
    context = tl.load(p_context_lengths + sequence) - num_queries
    end = tl.minimum(context + query + {tokens}, context + num_queries)
    begin = context + query + 1
    first = {window_start}
{setup}
    local = query + i // {padded_group}
    heads = head * {group} + i % {padded_group}
    real = (local < num_queries) & (i % {padded_group} < {group})
    positions = context + local
    q = tl.load(p_q + (query_start + local)[:, None] * {stride} + {offset}
                + heads[:, None] * {D} + d[None, :], mask=real[:, None]{d_mask}, other=0.0)
    top = tl.full([{rows}], float("-inf"), tl.float32)
    total = tl.zeros([{rows}], tl.float32)
    sums = tl.zeros([{rows}, {value_dim}], tl.float32)
{loop}{sinks}    result = sums / tl.maximum(total, 1e-30)[:, None]
    tl.store(o_out + ((query_start + local)[:, None] * {H} + heads[:, None]) * {Dv} + e[None, :],
             result, mask=real[:, None]{e_mask_rows})"""


@dataclass(frozen=True)
class _Shape:
    """What of an attention region its kernels' texts depend on."""

    node: Node
    query: Value  # the parameter that holds the queries
    offset: int  # where they begin in a token's row
    stride: int  # elements of a token's row

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Query heads, key heads, and widths of keys and of values."""
        _, heads, dim = self.node.operands[0].shape
        attrs = self.node.attrs
        return int(heads), int(attrs["num_key_heads"]), int(dim), int(attrs["value_dim"])

    def values(self, rows: int) -> dict[str, object]:
        """What the templates have in common, for tiles of ``rows`` queries."""
        H, Hk, D, Dv = self.sizes
        attrs, dim, value_dim = self.node.attrs, padded(D, 16), padded(Dv, 16)
        softcap, window = attrs.get("softcap"), attrs.get("window")
        capped = f"        scores = _tanh(scores / {softcap}) * {softcap}\n" if softcap else ""
        is_exact = self.query.dtype is DType.F32
        found: dict[str, object] = {
            **{"H": H, "Hk": Hk, "D": D, "Dv": Dv, "group": H // Hk, "rows": rows},
            **{"dim": dim, "value_dim": value_dim, "block": BLOCK_KEYS, "page": PAGE_SIZE_TOKENS},
            "page_elements": PAGE_SIZE_TOKENS * Hk * (D + Dv),
            "head_keys": PAGE_SIZE_TOKENS * D,
            "head_values": PAGE_SIZE_TOKENS * Dv,
            "values": PAGE_SIZE_TOKENS * Hk * D,
            **{"offset": self.offset, "stride": self.stride, "log2e": _LOG2E},
            **{"scale": float(attrs["scale"]), "softcap": capped},
            "precision": ', input_precision="ieee"' if is_exact else "",
            "d_mask": "" if dim == D else f" & (d[None, :] < {D})",
            "d_mask_rows": "" if dim == D else f" & (d[:, None] < {D})",
            "e_mask": "" if value_dim == Dv else f" & (e[None, :] < {Dv})",
            "e_mask_rows": "" if value_dim == Dv else f" & (e[None, :] < {Dv})",
            "window": window,
        }
        found["sinks"] = _SINKS.format(**found) if len(self.node.operands) > 5 else ""
        found["setup"] = _SETUP.format(**found)
        return found


def emit_attention(function: Function, steps: Steps) -> RegionKernels:
    """The kernels of an attention region: decode alone for few rows, else prefill."""
    node = next(n for n in function.nodes if n.op == "paged_attention")
    shape = _Shape(node, *_strided(function, node.operands[0]))
    few = steps.max_rows is not None and (steps.one_token_each or steps.max_rows <= 64)
    return _decode(function, shape, steps) if few else _prefill(function, shape)


def _decode(function: Function, shape: _Shape, steps: Steps) -> RegionKernels:
    H, Hk, _, Dv = shape.sizes
    assert steps.max_rows is not None
    splits = num_splits(steps.max_rows, Hk)
    rows = padded(H // Hk, 16)
    window = shape.node.attrs.get("window")
    values = shape.values(rows) | {
        "splits": splits,
        "causal": f"(keys > position - {window})[None, :]" if window else "real[:, None]",
        "window_start": f"tl.maximum(length - {window}, 0)" if window else "0",
    }
    values["loop"] = _LOOP.format(**values)
    values["combine"] = _COMBINE.format(**values) if splits > 1 else ""
    parts = ("tops", "totals", "sums", "tickets") if splits > 1 else ()
    names, buffers, types = _operands(function, shape, ("positions", "sequence_ids"))
    names += [f"w_{part}" for part in parts]
    buffers += [Operand("workspace", place) for place in range(len(parts))]
    types += ["*fp32", "*fp32", "*fp32", "*i32"][: len(parts)]
    body = _DECODE.format(names="".join(f"{name}, " for name in names), **values)
    tokens = function.results[0].shape[0]
    grid = grid_of((tokens, 1, 1), Hk, splits)
    kernel = Kernel("", body, tuple(buffers), tuple(types), (Dim.of("P"),), grid, 4, 3)
    items = tokens * (Hk * splits * rows * 4)
    sizes = (items, items, items * int(str(values["value_dim"])), tokens * (Hk * 4))
    return RegionKernels((kernel,), sizes[: len(parts)], frozenset({3} if parts else ()))


def num_splits(max_rows: int, num_key_heads: int) -> int:
    """Blocks that share a context: enough that a step of fewer rows still fills the machine."""
    return max(1, min(32, 256 // padded(max_rows * num_key_heads // 2)))


def _prefill(function: Function, shape: _Shape) -> RegionKernels:
    H, Hk, D, _ = shape.sizes
    group = padded(H // Hk)
    rows = max(64 if D > 128 else 128, group)
    window, tokens = shape.node.attrs.get("window"), rows // group
    causal = "(keys[None, :] <= positions[:, None])"
    if window:
        causal += f" & (keys[None, :] > positions[:, None] - {window})"
    values = shape.values(rows) | {
        "padded_group": group,
        "tokens": tokens,
        "causal": causal,
        "window_start": f"tl.maximum(begin - {window}, 0)" if window else "0",
    }
    values["loop"] = _LOOP.format(**values)
    names, buffers, types = _operands(function, shape, ("query_start", "context_lengths"))
    body = _PREFILL.format(names="".join(f"{name}, " for name in names), **values)
    count = function.results[0].shape[0] + Dim.of("S") * tokens
    grid = grid_of((count, tokens, 1), Hk)
    scalars = (Dim.of("S"), Dim.of("P"))
    stages = 2 if D > 128 else 3
    return RegionKernels(
        (
            Kernel(
                "", body, tuple(buffers), tuple(types), scalars, grid, 8 if rows > 64 else 4, stages
            ),
        )
    )


def _operands(
    function: Function, shape: _Shape, extra: tuple[str, str]
) -> tuple[list[str], list[Operand], list[str]]:
    """Names, buffers and types of a kernel's pointers; ``extra`` are parameters or inputs."""
    _, cache, positions, sequences, table, *sinks = shape.node.operands
    known = {"positions": positions, "sequence_ids": sequences}
    names, buffers, types = [], [], []
    place = function.params.index

    def add(name: str, operand: Operand, kind: str) -> None:
        names.append(name)
        buffers.append(operand)
        types.append(kind)

    kind = pointer_type(shape.query)
    add("p_q", Operand("param", place(shape.query)), kind)
    add("p_cache", Operand("param", place(cache)), kind)
    for name in extra:
        value = known.get(name)
        operand = Operand("param", place(value)) if value else Operand("input", name)
        add(f"p_{name}", operand, "*i32")
    add("p_table", Operand("param", place(table)), "*i32")
    for value in sinks:
        add("p_sinks", Operand("param", place(value)), "*" + TYPES[value.dtype])
    add("o_out", Operand("result", 0), kind)
    return names, buffers, types


def _strided(function: Function, value: Value) -> tuple[Value, int, int]:
    """The parameter that ``value`` is part of, where it begins there, and from token to token."""
    producers = function.producers()
    offset = 0
    while value in producers:
        node = producers[value]
        assert node.op in ("reshape", "slice"), f"{node.op} before attention"
        if node.op == "slice":
            assert node.attrs["axis"] == 1 and node.attrs.get("step", 1) == 1, function.name
            offset += node.attrs["start"] * prod(int(dim) for dim in value.shape[2:])
        value = node.operands[0]
    return value, offset, prod(int(dim) for dim in value.shape[1:])
