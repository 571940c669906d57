"""Emits "rows" regions: any elementwise, row and layout ops, and reductions along the last axis.

One program computes a row of the leading axis: its whole inner axes are the tile.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.graph import Function, Node, Value
from ...ir.ops.attention import PAGE_SIZE_TOKENS
from ...ir.types import Dim, DType
from ..reshape import number
from .elements import Elements, Indices, loads_first, name_of
from .indices import Index, linear_index, masks_of
from .kernel import Kernel, Operand, RegionKernels, Steps, grid_of, padded, pointer_type, row_dim
from .reductions import bind_topk
from .squares import store_squares

ROW = Index("row")


def emit_rows(function: Function, steps: Steps) -> RegionKernels:
    """The kernel of a rows region: the same for all steps."""
    results = [v for v in function.results if v.dtype is not DType.STATE]
    writes = [node for node in function.nodes if node.op == "kv_write"]
    stored = [*results, *(v for node in writes for v in node.operands[1:3])]
    elements = Elements(function, max(1, *(v.type.rank - 1 for v in stored)))
    for node in function.nodes:
        if node.op == "topk":
            bind_topk(elements, node, ROW)
    for node in writes:
        _write_cache(elements, node)
    for value in results:
        maker = elements.producers.get(value)
        if maker and maker.op == "sum_squares":
            _store_squares(elements, maker)
        else:
            _store(elements, value)
    operands, names, types = _buffers(function, results, writes)
    scalars = (Dim.of("P"),) if writes else ()
    signature = ", ".join((*names, *("num_table_columns" for _ in scalars)))
    lines = [
        "@triton.jit",
        f"def NAME({signature}):",
        '    """DOC"""',
        "    row = tl.program_id(0)",
    ]
    loads, others = loads_first(elements.lines)
    lines += [f"    {line}" for line in (*elements.heads, *loads, *others)]
    widest = max(int_product(v.shape[1:]) for v in stored)
    kernel = Kernel(
        "",
        "\n".join(lines),
        operands,
        types,
        scalars,
        grid_of((row_dim(function), 1, 1)),
        num_warps=max(1, min(8, padded(widest) // 256)),
    )
    return RegionKernels((kernel,))


def int_product(dims: Sequence[Dim]) -> int:
    """The product of constant dimensions."""
    total = 1
    for dim in dims:
        total *= int(dim)
    return total


def _buffers(
    function: Function, results: list[Value], writes: list[Node]
) -> tuple[tuple[Operand, ...], list[str], tuple[str, ...]]:
    caches = {node.operands[0]: node.operands[1].dtype for node in writes}
    operands = [Operand("param", place) for place in range(len(function.params))]
    names = [f"p_{name_of(value)}" for value in function.params]
    types = [pointer_type(value, caches.get(value)) for value in function.params]
    for place, value in enumerate(function.results):
        if value in results:
            operands.append(Operand("result", place))
            names.append(f"o_{name_of(value)}")
            types.append(pointer_type(value))
    return tuple(operands), names, tuple(types)


def _inner(elements: Elements, value: Value, leading: Indices) -> Indices:
    """All elements of the value's inner axes, after fixed indices."""
    inner = value.shape[1:]
    if not inner:
        return leading
    first = elements.rank - len(inner)
    return (*leading, *(elements.full(int(d), first + a) for a, d in enumerate(inner)))


def _store(elements: Elements, value: Value) -> None:
    made = _before_reshapes(elements, value)  # the same elements in the same order
    indices = _inner(elements, made, (ROW,))
    variable = elements.at(made, indices)
    place = linear_index(indices, [number(d) for d in made.shape]).text
    ones = [i.text for i, d in zip(indices[1:], made.shape[1:], strict=True) if number(d) == 1]
    place = " + ".join([f"o_{name_of(value)}", place, *ones])  # axes of one: as wide as the tile
    _store_at(elements, place, variable, masks_of(indices))


def _store_squares(elements: Elements, node: Node) -> None:
    rows = node.operands[0]
    tile = (1, padded(int(rows.shape[-1])))
    store_squares(elements, node, _inner(elements, rows, (ROW,)), tile, "0")


def _before_reshapes(elements: Elements, value: Value) -> Value:
    while (node := elements.producers.get(value)) and node.op == "reshape":
        operand = node.operands[0]
        if operand.shape[:1] != value.shape[:1] or operand.type.rank - 1 > elements.rank:
            break
        value = operand
    return value


def _store_at(elements: Elements, place: str, variable: str, masks: Sequence[str]) -> None:
    mask = f", mask={' & '.join(masks)}" if masks else ""
    elements.lines.append(f"tl.store({place}, {variable}{mask})")


def _write_cache(elements: Elements, node: Node) -> None:
    """Store the row's keys and values in its page."""
    keys, values = (_inner(elements, value, (ROW,))[1:] for value in node.operands[1:3])
    cache_lines(elements, node, ROW, keys, values)


def cache_lines(
    elements: Elements, node: Node, row: Index, keys: Indices, values: Indices
) -> list[str]:
    """Prints the stores of a row's keys and values, all or those at indices (head, column), in its
    page; a row at position -1 has none."""
    cache, k, v, positions, sequences, table = node.operands
    heads, sizes = int(k.shape[1]), (int(k.shape[2]), int(v.shape[2]))
    position = elements.at(positions, (row,))
    sequence = elements.at(sequences, (row,))
    column = f"tl.maximum({position}, 0) // {PAGE_SIZE_TOKENS}"
    page = elements.bind(
        f"tl.load(p_{name_of(table)} + {sequence} * num_table_columns + {column})", "page"
    )
    base = elements.bind(
        f"p_{name_of(cache)} + {page}.to(tl.int64) * {PAGE_SIZE_TOKENS * heads * sum(sizes)}"
    )
    slot = elements.bind(f"tl.maximum({position}, 0) % {PAGE_SIZE_TOKENS}", "place in the page")
    second = PAGE_SIZE_TOKENS * heads * sizes[0]
    for value, size, start, inner in ((k, sizes[0], 0, keys), (v, sizes[1], second, values)):
        variable = elements.at(value, (row, *inner))
        head, column = inner[0].text, inner[1].text
        offset = f"{start} + ({head} * {PAGE_SIZE_TOKENS} + {slot}) * {size} + {column}"
        masks = (*masks_of(inner), f"({position} >= 0)")
        _store_at(elements, f"{base} + {offset}", variable, masks)
    return elements.lines
