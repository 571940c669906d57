"""What attention's kernels read: their pointers, and the queries, which they make of these."""

from __future__ import annotations

from ...ir.graph import Function, Node
from ...ir.types import DType
from .attention_shape import LEAST_DIM
from .elements import Elements, name_of
from .indices import Index
from .kernel import Operand, pointer_type
from .streams import FLOATS

SEQUENCES = ("query_start", "context_lengths")
"""Inputs that tell where each sequence's tokens begin, and how many are in the cache then."""

_FLOATS = {DType.F32: "float32", **FLOATS}
_CALLED = ("cache", "positions", "sequence_ids", "table", "sinks")  # what follows the queries


def attention_of(function: Function) -> Node:
    """The region's attention."""
    return next(node for node in function.nodes if node.op == "paged_attention")


def query_lines(
    elements: Elements, token: Index, heads: Index, least_columns: int = LEAST_DIM
) -> list[str]:
    """What makes `q`, the region's queries of tokens and heads, in their own type."""
    query = attention_of(elements.function).operands[0]
    column = elements.full(int(query.shape[-1]), least=least_columns)
    made = elements.at(query, (token, heads, column))
    return [*elements.heads, *elements.lines, f"q = {made}.to(tl.{_FLOATS[query.dtype]})"]


def query_of_rows(function: Function) -> str:
    """Lines that make `q` of a tile of tokens of one sequence by the heads of a key head."""
    token = Index("(query_start + local)[:, None]", 0, None, ("real[:, None]",))
    num_heads = int(attention_of(function).operands[0].shape[1])
    heads = Index("heads[:, None]", 0, num_heads, ("real[:, None]",))
    lines = query_lines(Elements(function, 2), token, heads)
    return "".join(f"    {line}\n" for line in lines)


def operands_of(
    function: Function, inputs: tuple[str, ...] = ()
) -> tuple[list[str], list[Operand], list[str]]:
    """Names, buffers and types of a kernel's pointers: what it reads of the region's parameters,
    the inputs, and the result.

    Where sequences are told by inputs, the position and the sequence of each token are not read.
    """
    node, producers = attention_of(function), function.producers()
    others = {value for n in function.nodes if n is not node for value in n.operands}
    unread = set(node.operands[2:4]) - others if inputs else set()
    write = producers.get(node.operands[1])
    state = write.operands[1].dtype if write else node.operands[0].dtype
    names, buffers, types = [], [], []
    for place, value in enumerate(function.params):
        if value not in unread:
            names.append(f"p_{name_of(value)}")
            buffers.append(Operand("param", place))
            types.append(pointer_type(value, state if value.dtype is DType.STATE else None))
    for name in inputs:
        names.append(f"p_{name}")
        buffers.append(Operand("input", name))
        types.append("*i32")
    names.append("o_out")
    buffers.append(Operand("result", function.results.index(node.result)))
    return names, buffers, [*types, pointer_type(node.result)]


def aliases(function: Function, names: list[str]) -> str:
    """Lines that give parameters, which have their own ``names``, those of attention's texts."""
    node = attention_of(function)
    write = function.producers().get(node.operands[1])
    values = (write.operands[0] if write else node.operands[1], *node.operands[2:])
    pairs = [(f"p_{c}", f"p_{name_of(v)}") for c, v in zip(_CALLED, values, strict=False)]
    return "".join(
        f"    {called} = {own}\n" for called, own in pairs if own in names and own != called
    )
