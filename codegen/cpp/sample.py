"""Emits "sample" regions: one draw for each row of logits, by the kit's kernel."""

from __future__ import annotations

from ...ir.graph import Function
from .kernel import KernelLaunch, Operand, RegionKernel, params

_BODY = """TAPEOUT_KERNEL(NAME) {{
    void *const *b = launch->buffers;
    sample({{(const float *)b[0], (const float *)b[1], (const i64 *)b[2], (const i64 *)b[3],
            (i32 *)b[4], launch->scalars[0], {vocabulary}}},
           launch->ticket);
}}"""


def emit_sample(function: Function, packed: frozenset[str]) -> RegionKernel:
    """The kernel of a sample region."""
    (node,) = function.nodes
    rows, vocabulary = node.operands[0].shape
    places = params(*(function.params.index(value) for value in node.operands))
    launch = KernelLaunch("", (*places, Operand("result", 0)), (rows,))
    return RegionKernel(_BODY.format(vocabulary=vocabulary), (launch,))
