"""Emits "attention" regions: one paged_attention over the pages of each token's sequence.

Steps of one token each take the decode form, all others the prefill form. Both make the queries
that the region computes. Where it also writes the cache, decode does this on the way; prefill
leaves it to a launch of its own.
"""

from __future__ import annotations

from dataclasses import replace

from ...artifact.tuning_table import Configuration
from ...ir.graph import Function, Node, Value
from .attention_decode import emit_decode
from .attention_operands import attention_of
from .attention_parts import emit_in_parts
from .attention_prefill import emit_prefill
from .kernel import Operand, RegionKernels, Steps
from .parts import as_part, homes_of
from .rows import emit_rows


def emit_attention(
    function: Function, steps: Steps, asked: Configuration | None = None
) -> RegionKernels:
    """The kernels of an attention region, in tiles that suit it or as asked."""
    node = attention_of(function)
    write = function.producers().get(node.operands[1])
    if write is not None and (steps.batch_invariant or not steps.one_token_each):
        return _after_write(function, node, write, steps, asked)
    if steps.batch_invariant:
        return emit_in_parts(function, steps, asked)
    if steps.one_token_each:
        return emit_decode(function, write, steps, asked)
    return emit_prefill(function, steps, asked)


def _after_write(
    function: Function, node: Node, write: Node, steps: Steps, asked: Configuration | None
) -> RegionKernels:
    """Two launches. Blocks of the second make the queries that they have.

    Under batch invariance the first makes them, once for all steps: they go through a workspace.
    """
    query, cache = node.operands[0], write.operands[0]
    between = (query,) if steps.batch_invariant else ()
    first = _part(function, (*between, write.result))
    alone = replace(node, operands=(query, cache, *node.operands[2:]))
    nodes = tuple(alone if n is node else n for n in function.nodes)
    second = _part(replace(function, nodes=nodes), (node.result,), between)
    homes = homes_of(function) | {value: Operand("workspace", 0) for value in between}
    kernels = as_part(emit_rows(first, steps), first, homes, "_write")
    attention = emit_attention(second, steps, asked)
    kernels += as_part(attention, second, homes, "", len(between))
    tickets = frozenset(place + len(between) for place in attention.tickets)
    workspaces = (*(value.type.num_bytes() for value in between), *attention.workspaces)
    return RegionKernels(kernels, workspaces, tickets, attention.choice)


def _part(
    function: Function, results: tuple[Value, ...], given: tuple[Value, ...] = ()
) -> Function:
    """What of a function makes ``results``, of its parameters and of values that are ``given``."""
    wanted, nodes = set(results), []
    for node in reversed(function.nodes):
        if wanted.intersection(node.results) - set(given):
            nodes.append(node)
            wanted.update(node.operands)
    params = tuple(value for value in (*given, *function.params) if value in wanted)
    return replace(function, params=params, nodes=tuple(reversed(nodes)), results=results)
