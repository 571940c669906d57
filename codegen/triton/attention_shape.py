"""What the texts of attention's kernels depend on."""

from __future__ import annotations

from dataclasses import dataclass

from ...artifact.schema import GridTerm
from ...ir.graph import Node, Value
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim, DType
from .attention_problems import Heads
from .attention_text import LOOP, SINKS
from .kernel import grid_of, padded

LOG2E = 1.4426950408889634
LEAST_DIM = 16  # of a product's operands


@dataclass(frozen=True)
class Shape:
    """What an attention node says; its queries may be computed in the same region."""

    node: Node

    @property
    def query(self) -> Value:
        """The queries, [T, H, D]."""
        return self.node.operands[0]

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Query heads, key heads, and widths of keys and of values."""
        _, heads, dim = self.query.shape
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
    def is_plain(self) -> bool:
        """Whether a query sees all keys before it, and nothing joins or bounds their scores."""
        return not (self.window or self.softcap or self.has_sinks)

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
        dim, value_dim = padded(D, LEAST_DIM), padded(Dv, LEAST_DIM)
        found: dict[str, object] = {
            **{"H": H, "Hk": Hk, "D": D, "Dv": Dv, "group": H // Hk, "rows": rows},
            **{"dim": dim, "value_dim": value_dim, "block": block, "page": PAGE_SIZE_TOKENS},
            "page_elements": PAGE_SIZE_TOKENS * Hk * (D + Dv),
            "head_keys": PAGE_SIZE_TOKENS * D,
            "head_values": PAGE_SIZE_TOKENS * Dv,
            "values": PAGE_SIZE_TOKENS * Hk * D,
            "factor": self.factor,
            "precision": ', input_precision="ieee"' if self.query.dtype is DType.F32 else "",
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
