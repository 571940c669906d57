"""Emits "attention" regions: one paged_attention over the pages of each token's sequence.

Two kernels. *Decode* takes one token and one key head a block, for all query heads of that key head
at once, and splits long contexts over several blocks: the last to arrive adds up their partial
results, in order. *Prefill* takes a tile of tokens of one sequence with all their query heads.
Where a region also makes the queries and writes the cache, decode does this on the way; prefill
leaves it to a launch of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ...ir.graph import Function, Node, Value
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim, DType
from .attention_text import COMBINE, DECODE, FULL_LOOP, LOAD_QUERY, LOOP, PREFILL, SETUP, SINKS
from .elements import Elements, name_of
from .indices import Index
from .kernel import TYPES, Kernel, Operand, RegionKernels, Steps, grid_of, padded, pointer_type
from .parts import as_part, homes_of
from .rows import cache_lines, emit_rows

BLOCK_KEYS = 64
_LOG2E = 1.4426950408889634
_FLOATS = {DType.F32: "tl.float32", DType.F16: "tl.float16", DType.BF16: "tl.bfloat16"}
_PARTS = {"tops": "*fp32", "totals": "*fp32", "sums": "*fp32", "tickets": "*i32"}


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
            "scale_log2e": float(attrs["scale"]) * _LOG2E,
            "d_only": "" if dim == D else f", mask=d[:, None] < {D}, other=0.0",
            "e_only": "" if value_dim == Dv else f", mask=e[None, :] < {Dv}, other=0.0",
            "precision": ', input_precision="ieee"' if is_exact else "",
            "d_mask": "" if dim == D else f" & (d[None, :] < {D})",
            "d_mask_rows": "" if dim == D else f" & (d[:, None] < {D})",
            "e_mask": "" if value_dim == Dv else f" & (e[None, :] < {Dv})",
            "e_mask_rows": "" if value_dim == Dv else f" & (e[None, :] < {Dv})",
            "window": window,
        }
        found["sinks"] = SINKS.format(**found) if len(self.node.operands) > 5 else ""
        found["setup"] = SETUP.format(**found)
        return found


def emit_attention(function: Function, steps: Steps) -> RegionKernels:
    """The kernels of an attention region: decode alone for few rows, else prefill."""
    node = next(n for n in function.nodes if n.op == "paged_attention")
    write = function.producers().get(node.operands[1])
    if write is not None and not steps.one_token_each:
        return _after_write(function, node, write, steps)
    shape = _Shape(node, *((node.operands[0], 0, 0) if write else _strided(function, node)))
    few = steps.max_rows is not None and (steps.one_token_each or steps.max_rows <= 64)
    return _decode(function, shape, write, steps) if few else _prefill(function, shape)


def _after_write(function: Function, node: Node, write: Node, steps: Steps) -> RegionKernels:
    """Two launches; the queries go through a workspace."""
    query, cache = node.operands[0], write.operands[0]
    before = tuple(n for n in function.nodes if n is not node)
    read = {value for n in before for value in n.operands}
    params = tuple(v for v in function.params if v in read)
    results = (query, write.result)
    first = replace(function, params=params, nodes=before, results=results)
    operands = (query, cache, *node.operands[2:])
    alone = replace(node, operands=operands)
    second = replace(function, params=operands, nodes=(alone,), results=(node.result,))
    homes = homes_of(function) | {query: Operand("workspace", 0)}
    attention = emit_attention(second, steps)
    kernels = as_part(emit_rows(first, steps), first, homes, "_write")
    kernels += as_part(attention, second, homes, "", 1)
    tickets = frozenset(place + 1 for place in attention.tickets)
    return RegionKernels(kernels, (query.type.num_bytes(), *attention.workspaces), tickets)


def _decode(function: Function, shape: _Shape, write: Node | None, steps: Steps) -> RegionKernels:
    H, Hk, _, _ = shape.sizes
    assert steps.max_rows is not None
    splits = num_splits(steps.max_rows, Hk)
    rows = padded(H // Hk, 16)
    window = shape.node.attrs.get("window")
    values = shape.values(rows) | {
        "splits": splits,
        "causal": f"(keys > position - {window})[None, :]" if window else "real[:, None]",
        "window_start": f"tl.maximum(length - {window}, 0)" if window else "0",
    }
    values["loop"] = LOOP.format(**values)
    values["combine"] = COMBINE.format(**values) if splits > 1 else ""
    values["aliases"] = _aliases(shape, write) if write else ""
    if write is None:
        values["query"] = LOAD_QUERY.format(**values)
        names, buffers, types = _operands(function, shape, ("positions", "sequence_ids"))
    else:
        values["query"] = _query_and_write(function, shape, write)
        names, buffers, types = _all_operands(function, shape, write)
    parts = list(_PARTS) if splits > 1 else []
    names += [f"w_{part}" for part in parts]
    buffers += [Operand("workspace", place) for place in range(len(parts))]
    types += [_PARTS[part] for part in parts]
    body = DECODE.format(names="".join(f"{name}, " for name in names), **values)
    tokens = shape.node.result.shape[0]
    grid = grid_of((tokens, 1, 1), Hk, splits)
    kernel = Kernel("", body, tuple(buffers), tuple(types), (Dim.of("P"),), grid, 4, 3)
    items = tokens * (Hk * splits * rows * 4)
    sizes = (items, items, items * int(str(values["value_dim"])), tokens * (Hk * 4))
    return RegionKernels((kernel,), sizes[: len(parts)], frozenset({3} if parts else ()))


def _query_and_write(function: Function, shape: _Shape, write: Node) -> str:
    """Makes the block's queries; the block with the last keys writes the token's key and value."""
    H, Hk, D, Dv = shape.sizes
    elements = Elements(function, 2)
    token, head = Index("token"), Index("head", 0, Hk)
    heads = Index("heads[:, None]", 0, H, ("real[:, None]",))
    query = elements.at(shape.query, (token, heads, elements.full(D)))
    made, elements.lines = elements.lines, []
    lines = cache_lines(elements, write, token, (head, elements.full(D)), (head, elements.full(Dv)))
    inside = [*lines, "tl.debug_barrier()"]
    text = [
        *elements.heads,
        *made,
        f"q = {query}.to({_FLOATS[shape.query.dtype]})",
        "if split == num_splits - 1:",
        *(f"    {line}" for line in inside),
    ]
    return "".join(f"    {line}\n" for line in text)


def _all_operands(
    function: Function, shape: _Shape, write: Node
) -> tuple[list[str], list[Operand], list[str]]:
    """Every parameter under its own name, and the result."""
    values, state = list(function.params), write.operands[1].dtype
    types = [pointer_type(v, state if v.dtype is DType.STATE else None) for v in values]
    buffers = [Operand("param", place) for place in range(len(values))]
    out = Operand("result", function.results.index(shape.node.result))
    names = [f"p_{name_of(value)}" for value in values]
    return [*names, "o_out"], [*buffers, out], [*types, pointer_type(shape.query)]


def _aliases(shape: _Shape, write: Node) -> str:
    """The names that the text of attention has for parameters of the whole region."""
    values = (write.operands[0], *shape.node.operands[2:])
    pairs = [(f"p_{c}", f"p_{name_of(v)}") for c, v in zip(_CALLED, values, strict=False)]
    return "".join(f"    {called} = {own}\n" for called, own in pairs if called != own)


_CALLED = ("cache", "positions", "sequence_ids", "table", "sinks")


def num_splits(max_rows: int, num_key_heads: int) -> int:
    """Blocks that share a context: enough that a step of fewer rows still fills the machine."""
    return max(1, min(32, 512 // padded(max_rows * num_key_heads // 2)))


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
    values["loop"] = LOOP.format(**values)
    is_plain = not window and not shape.node.attrs.get("softcap")
    values["full_loop"] = FULL_LOOP.format(**values) if is_plain else ""
    names, buffers, types = _operands(function, shape, ("query_start", "context_lengths"))
    body = PREFILL.format(names="".join(f"{name}, " for name in names), **values)
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


def _strided(function: Function, node: Node) -> tuple[Value, int, int]:
    """The parameter that the queries are part of, where they begin there, and the elements from
    token to token."""
    producers, value = function.producers(), node.operands[0]
    offset = 0
    while value in producers:
        node = producers[value]
        assert node.op in ("reshape", "slice"), f"{node.op} before attention"
        if node.op == "slice":
            assert node.attrs["axis"] == 1 and node.attrs.get("step", 1) == 1, function.name
            offset += node.attrs["start"] * prod(int(dim) for dim in value.shape[2:])
        value = node.operands[0]
    return value, offset, prod(int(dim) for dim in value.shape[1:])
