"""Emits "rows" regions: any elementwise, row and layout ops, and reductions along the last axis.

One unit of work is a row of the leading axis. First the reductions that the row needs, into small
local arrays; then the results, element by element, computed from the parameters on the way.
"""

from __future__ import annotations

from ...ir.graph import Function, Node, Value
from ...ir.types import Dim, DType
from ..reshape import number
from .choices import Asked
from .elements import CPP_TYPES, Elements, Indices, Writer, cpp_name
from .indices import Index
from .kernel import KernelLaunch, Operand, RegionKernel, buffer_line, row_dim
from .loops import element_loops
from .reductions import REDUCERS

ROW = Index("t")


def emit_rows(function: Function, packed: frozenset[str], asked: Asked) -> RegionKernel:
    """The kernel of a rows region; ``packed`` names parameters in the layout of packed weights."""
    out = Writer()
    elements = Elements(function, out, packed)
    results = [v for v in function.results if v.dtype is not DType.STATE]
    buffers = _bind_buffers(function, results, out)
    out.open("each_row(launch->scalars[0], launch->ticket, num_workers, [&](i64 t) {")
    rows = row_dim(function)
    for node in function.nodes:
        if node.op in REDUCERS:
            REDUCERS[node.op](elements, node, rows)
    for node in function.nodes:
        if node.op == "kv_write":
            _write_cache(elements, node)
    for group in _same_shapes(results):
        _store(elements, group)
    out.close("});")
    body = "\n".join(["TAPEOUT_KERNEL(NAME) {", *out.lines, "}"])
    scalars = (rows, Dim.of("P"))
    return RegionKernel(body, (KernelLaunch("", buffers, scalars),))


def _bind_buffers(function: Function, results: list[Value], out: Writer) -> tuple[Operand, ...]:
    buffers: list[Operand] = []
    caches = {n.operands[0]: n.operands[1] for n in function.nodes if n.op == "kv_write"}
    for place, value in enumerate(function.params):
        if value in caches:
            kind = CPP_TYPES[caches[value].dtype]
            out.line(f"auto *p_{cpp_name(value)} = ({kind} *)launch->buffers[{len(buffers)}];")
        else:
            out.line(buffer_line(len(buffers), value))
        buffers.append(Operand("param", place))
    for place, value in enumerate(function.results):
        if value in results:
            out.line(buffer_line(len(buffers), value, writable=True))
            buffers.append(Operand("result", place))
    return tuple(buffers)


def _same_shapes(results: list[Value]) -> list[list[Value]]:
    """Results of one shape are computed in one loop."""
    groups: dict[tuple[Dim, ...], list[Value]] = {}
    for value in results:
        groups.setdefault(value.shape, []).append(value)
    return list(groups.values())


def _store(elements: Elements, values: list[Value]) -> None:
    shape = values[0].shape
    sizes = [number(d) for d in shape]

    def body(indices: Indices) -> None:
        for value in values:
            variable = elements.at(value, indices)
            place = _place(indices, sizes)
            name = f"o_{cpp_name(value)}"
            elements.out.line(f"store({name} + {place}, {variable}, {elements.lanes});")

    element_loops(elements, (ROW,), shape[1:], body)


def _place(indices: Indices, sizes: list[int]) -> str:
    text = indices[0].text
    for index, size in zip(indices[1:], sizes[1:], strict=True):
        text = f"({text}) * {size} + {index.text}"
    return text


def _write_cache(elements: Elements, node: Node) -> None:
    """Store the row's keys and values in its page."""
    cache, k, v, positions, sequences, table = node.operands
    heads, key_dim, value_dim = k.shape[1], k.shape[2], v.shape[2]
    sequence = elements.integer_at(sequences, (ROW,)).text
    position = elements.integer_at(positions, (ROW,)).text
    place = f"place_{cpp_name(node.results[0])}"
    elements.out.line(
        f"const cache_place {place}(p_{cpp_name(cache)}, p_{cpp_name(table)} + "
        f"{sequence} * launch->scalars[1], {position}, {heads}, {key_dim}, {value_dim});"
    )
    for value, method in ((k, "store_key"), (v, "store_value")):

        def body(indices: Indices, value: Value = value, method: str = method) -> None:
            variable = elements.at(value, indices)
            head, column = indices[1].text, indices[2].text
            elements.out.line(f"{place}.{method}({head}, {column}, {variable}, n);")

        element_loops(elements, (ROW,), value.shape[1:], body)
