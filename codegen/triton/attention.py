"""Emits "attention" regions: one paged_attention over the pages of each token's sequence.

Steps of one token each take the decode form, all others the prefill form. Where a region also makes
the queries and writes the cache, decode does this on the way; prefill leaves it to a launch of its
own.
"""

from __future__ import annotations

from dataclasses import replace

from ...artifact.tuning_table import Configuration
from ...ir.graph import Function, Node
from .attention_decode import emit_decode
from .attention_parts import emit_in_parts
from .attention_prefill import emit_prefill
from .attention_shape import Shape, shape_of
from .kernel import Operand, RegionKernels, Steps
from .parts import as_part, homes_of
from .rows import emit_rows


def emit_attention(
    function: Function, steps: Steps, asked: Configuration | None = None
) -> RegionKernels:
    """The kernels of an attention region, in tiles that suit it or as asked."""
    node = next(n for n in function.nodes if n.op == "paged_attention")
    write = function.producers().get(node.operands[1])
    if write is not None and (steps.batch_invariant or not steps.one_token_each):
        return _after_write(function, node, write, steps, asked)
    if steps.batch_invariant:
        return emit_in_parts(function, shape_of(function, node), steps, asked)
    if steps.one_token_each:
        shape = Shape(node, node.operands[0], 0, 0) if write else shape_of(function, node)
        return emit_decode(function, shape, write, steps, asked)
    return emit_prefill(function, node, steps, asked)


def _after_write(
    function: Function, node: Node, write: Node, steps: Steps, asked: Configuration | None
) -> RegionKernels:
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
    kernels = as_part(emit_rows(first, steps), first, homes, "_write")
    attention = emit_attention(second, steps, asked)
    kernels += as_part(attention, second, homes, "", 1)
    tickets = frozenset(place + 1 for place in attention.tickets)
    workspaces = (query.type.num_bytes(), *attention.workspaces)
    return RegionKernels(kernels, workspaces, tickets, attention.choice)
