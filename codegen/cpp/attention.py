"""Emits "attention" regions: one paged_attention, by the kit's kernel, for this region's shape."""

from __future__ import annotations

from math import prod

from ...errors import UnsupportedModelError
from ...ir.graph import Function, Node, Value
from ...ir.types import Dim
from .choices import Asked
from .elements import CPP_TYPES
from .kernel import KernelLaunch, Operand, RegionKernel, params


def emit_attention(function: Function, packed: frozenset[str], asked: Asked) -> RegionKernel:
    """The kernel of an attention region. Raises UnsupportedModelError for keys without a layout."""
    node = next(n for n in function.nodes if n.op == "paged_attention")
    query, cache, positions, _, table, *sinks = node.operands
    q, offset, stride = _strided(function, query)
    if q.dtype.itemsize == 2 and int(query.shape[2]) % 2:  # keys lie in pages by pairs
        raise UnsupportedModelError(
            f"attention heads of {query.shape[2]} elements, an odd number, have no place in the "
            f"key-value cache of a CPU in {q.dtype}",
            "compile the model with dtype=float32",
        )
    kind = CPP_TYPES[q.dtype]
    lines = ["TAPEOUT_KERNEL(NAME) {", *_shape(node), "    void *const *b = launch->buffers;"]
    if sinks:
        heads = node.operands[0].shape[1]
        lines.append(f"    float sinks[{heads}];")
        lines.append(f"    copy_sinks((const {CPP_TYPES[sinks[0].dtype]} *)b[6], sinks, {heads});")
    lines += [
        f"    const attention_step<{kind}> step = {{",
        f"        (const {kind} *)b[0] + {offset}, (const {kind} *)b[1], (const i32 *)b[2],",
        f"        (const i32 *)b[3], (const i32 *)b[4], {'sinks' if sinks else 'nullptr'},",
        f"        ({kind} *)b[5], {stride}, launch->scalars[0], launch->scalars[1]}};",
        "    paged_attention(shape, step, launch->ticket);",
        "}",
    ]
    place = function.params.index
    buffers = (
        *params(place(q), place(cache), place(positions)),
        Operand("input", "query_start"),
        *params(place(table)),
        Operand("result", 0),
        *params(*map(place, sinks)),
    )
    scalars = (Dim.of("S"), Dim.of("P"))
    return RegionKernel("\n".join(lines), (KernelLaunch("", buffers, scalars),))


def _shape(node: Node) -> list[str]:
    attrs, query = node.attrs, node.operands[0]
    softcap, window = float(attrs.get("softcap") or 0.0), attrs.get("window") or 0
    return [
        "    const attention_shape shape = {",
        f"        {query.shape[1]}, {attrs['num_key_heads']}, {query.shape[2]},"
        f" {attrs['value_dim']},  // heads, key heads, head dim, value dim",
        f"        {float(attrs['scale'])!r}f, {softcap!r}f, {window}}};  // scale, softcap, window",
    ]


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
