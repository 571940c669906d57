"""What the texts of attention's kernels depend on, and the buffers that they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ...artifact.schema import GridTerm
from ...ir.graph import Function, Node, Value
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim, DType
from .attention_problems import Heads
from .attention_text import LOOP, SINKS
from .kernel import TYPES, Operand, grid_of, padded, pointer_type

LOG2E = 1.4426950408889634


@dataclass(frozen=True)
class Shape:
    """An attention node and where its queries lie."""

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

    @property
    def heads(self) -> Heads:
        """The same, by name."""
        return Heads(*self.sizes, self.query.dtype.itemsize)

    @property
    def window(self) -> int | None:
        """The keys that a query sees, itself among them; None for all before it."""
        return self.node.attrs.get("window")

    @property
    def softcap(self) -> float | None:
        """The bound that a tanh keeps scores in."""
        return self.node.attrs.get("softcap")

    @property
    def has_sinks(self) -> bool:
        """Whether a learned score of each head joins its sum of weights."""
        return len(self.node.operands) > 5

    @property
    def factor(self) -> float:
        """What turns scores, after the tanh if there is one, into exponents of two."""
        return (self.softcap or float(self.node.attrs["scale"])) * LOG2E

    def tiles(self, tokens: int) -> tuple[GridTerm, ...]:
        """The grid of a block for each key head and tile; a tile has tokens of one sequence."""
        num_tokens, Hk = self.node.result.shape[0], self.sizes[1]
        return grid_of(Hk, (num_tokens + Dim.of("S") * tokens, tokens, 1))

    def values(self, rows: int, block: int) -> dict[str, object]:
        """What the templates have in common, for tiles of ``rows`` queries by ``block`` keys."""
        H, Hk, D, Dv = self.sizes
        dim, value_dim = padded(D, 16), padded(Dv, 16)
        found: dict[str, object] = {
            **{"H": H, "Hk": Hk, "D": D, "Dv": Dv, "group": H // Hk, "rows": rows},
            **{"dim": dim, "value_dim": value_dim, "block": block, "page": PAGE_SIZE_TOKENS},
            "page_elements": PAGE_SIZE_TOKENS * Hk * (D + Dv),
            "head_keys": PAGE_SIZE_TOKENS * D,
            "head_values": PAGE_SIZE_TOKENS * Dv,
            "values": PAGE_SIZE_TOKENS * Hk * D,
            **{"offset": self.offset, "stride": self.stride, "factor": self.factor},
            "precision": ', input_precision="ieee"' if self.query.dtype is DType.F32 else "",
            "d_mask": "" if dim == D else f" & (d[None, :] < {D})",
            "e_mask": "" if value_dim == Dv else f" & (e[None, :] < {Dv})",
        }
        found["sinks"] = SINKS.format(log2e=LOG2E) if self.has_sinks else ""
        return found

    def loop(self, values: dict[str, object], bounds: str, there: str, seen: str) -> str:
        """The loop over blocks of keys. ``there`` are those that may be read, and ``seen`` those
        that a row sees: expressions; both empty in a loop over what all rows see."""
        _, _, D, Dv = self.sizes
        scale = float(self.node.attrs["scale"])
        capped = (
            f"        scores = _tanh(scores * {scale / self.softcap})\n" if self.softcap else ""
        )
        masked = f'        scores = tl.where({seen}, scores, float("-inf"))\n' if seen else ""
        keys = [
            "there[None, :]" * bool(there),
            f"(d[:, None] < {D})" * (values["dim"] != D),
        ]
        rows = [
            "there[:, None]" * bool(there),
            f"(e[None, :] < {Dv})" * (values["value_dim"] != Dv),
        ]
        page = values["page"]
        columns = f"start // {page} + step_keys // {page}"
        head = f"        keys = start + step_keys\n        there = {there}\n" if there else ""
        return LOOP.format(
            **values,
            bounds=bounds,
            head=head,
            columns=f"tl.minimum(keys, end - 1) // {page}" if there else columns,
            k_mask=_masked(keys),
            v_mask=_masked(rows),
            capped=capped,
            masked=masked,
        )


def _masked(masks: list[str]) -> str:
    text = " & ".join(filter(None, masks))
    return f",\n                    mask={text}, other=0.0" if text else ""


def shape_of(function: Function, node: Node) -> Shape:
    """The shape of an attention whose queries are part of a parameter."""
    producers, value, offset = function.producers(), node.operands[0], 0
    while value in producers:
        before = producers[value]
        assert before.op in ("reshape", "slice"), f"{before.op} before attention"
        if before.op == "slice":
            assert before.attrs["axis"] == 1 and before.attrs.get("step", 1) == 1, function.name
            offset += before.attrs["start"] * prod(int(dim) for dim in value.shape[2:])
        value = before.operands[0]
    return Shape(node, value, offset, prod(int(dim) for dim in value.shape[1:]))


def operands_of(
    function: Function, shape: Shape, extra: tuple[str, ...]
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
