"""Says of a region what it computes, as a key of tuning tables: the same for equal work."""

from __future__ import annotations

from ..artifact.tuning_table import Key
from ..ir.graph import Function, Node

_VIEWS = ("reshape", "constant")
_ANCHORS = ("linear", "paged_attention", "experts")


def key_of(function: Function, steps: str, batch_invariant: bool) -> Key:
    """The key of a region's kernel for the steps of that name.

    Shapes by anchor: a product's are its outputs and K; attention's the heads, key heads, widths of
    a key and a value and the window (0: none); experts' their number, outputs and K of down. Other
    regions have the sizes of a row of each parameter.
    """
    anchor = _anchor(function)
    source = anchor.operands[0] if anchor else function.params[0]
    return Key(
        kernel=" ".join(node.op for node in function.nodes if node.op not in _VIEWS),
        shape=_shape(function, anchor),
        dtype=source.dtype.value,
        steps=steps,
        batch_invariant=batch_invariant,
    )


def _anchor(function: Function) -> Node | None:
    return next((node for node in function.nodes if node.op in _ANCHORS), None)


def _shape(function: Function, anchor: Node | None) -> tuple[int, ...]:
    if anchor is None:
        sizes = (dim for param in function.params for dim in param.shape[1:])
        return tuple(int(dim) for dim in sizes if dim.is_const)
    if anchor.op == "paged_attention":
        attrs, query = anchor.attrs, anchor.operands[0]
        heads = int(query.shape[1]), int(attrs["num_key_heads"])
        return *heads, int(query.shape[2]), int(attrs["value_dim"]), int(attrs.get("window") or 0)
    weight = anchor.operands[4 if anchor.op == "experts" else 1]
    return tuple(map(int, weight.shape))
