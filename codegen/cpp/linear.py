"""Emits "linear" regions: x times one packed weight, or two (a gate and an up), then elementwise.

The products' sums meet the epilogue in registers: it is printed for the sixteen outputs of a block.
"""

from __future__ import annotations

from ...ir.graph import Function, Node, Value
from ...ir.types import Dim
from ..reshape import number
from .choices import Asked, choice_rows
from .elements import CPP_TYPES, Elements, Given, Indices, Writer, cpp_name
from .indices import Index
from .kernel import KernelLaunch, RegionKernel, buffer_line, params
from .kernel import Operand as Buffer

ROW, COLUMN = "t", "c"


def emit_linear(function: Function, packed: frozenset[str], asked: Asked) -> RegionKernel:
    """The kernel of a linear region. Its weights are packed, whatever ``packed`` says of others."""
    out = Writer()
    linears = [node for node in function.nodes if node.op == "linear"]
    result, x = function.results[0], linears[0].operands[0]
    for place, value in enumerate(function.params):
        out.line(buffer_line(place, value))
    out.line(buffer_line(len(function.params), result, writable=True))
    k, n = int(x.shape[-1]), int(result.shape[-1])
    source, kind = cpp_name(_source(function, x)), CPP_TYPES[x.dtype]
    out.open(f"const auto epilogue = [&](i64 t, i64 c, const float *sums, {_SPAN} auto n) {{")
    _epilogue(Elements(function, out, packed), linears, result)
    out.close("};")
    out.line(f"const auto row_of = [&](i64 t) {{ return p_{source} + t * {k}; }};")
    weights = ", ".join(f"p_{cpp_name(node.operands[1])}" for node in linears)
    out.line("static constexpr product_choice choices[] = {  // a level, rows at most; unit; tile")
    for row in choice_rows(function, asked):
        out.line(f"    {row}")
    out.line("};")
    out.line("const i64 rows = launch->scalars[0];")
    out.line(f"matmul_columns<{kind}, {n}>(rows, {k}, launch->ticket, num_workers,")
    out.line(f"    choice_of(choices, rows), row_of, epilogue, {weights});")
    body = "\n".join(["TAPEOUT_KERNEL(NAME) {", *out.lines, "}"])
    buffers = (*params(*range(len(function.params))), Buffer("result", 0))
    return RegionKernel(body, (KernelLaunch("", buffers, (_rows(result),)),))


_SPAN = "[[maybe_unused]] i64 span,"


def _rows(result: Value) -> Dim:
    """Rows of the product: all leading axes of the result."""
    rows = Dim(1)
    for dim in result.shape[:-1]:
        rows = rows * dim
    return rows


def _source(function: Function, x: Value) -> Value:
    """The parameter whose memory holds x: reshapes move nothing."""
    producers = function.producers()
    while x in producers:
        node = producers[x]
        assert node.op == "reshape", f"{node.op} before a product"
        x = node.operands[0]
    return x


def _epilogue(elements: Elements, linears: list[Node], result: Value) -> None:
    for place, node in enumerate(linears):
        elements.given[node.result] = _sums(elements, node, place)
    n = number(result.shape[-1])
    column = Index(COLUMN, 0, n, vector=True)
    variable = elements.at(result, (Index(ROW), column))
    elements.out.line(f"store(o_{cpp_name(result)} + t * {n} + c, {variable}, n);")


def _sums(elements: Elements, node: Node, place: int) -> Given:
    sums = f"load(sums + {place} * span)" if place else "load(sums)"

    def given(indices: Indices) -> str:
        if len(node.operands) < 3:
            return sums
        return f"{sums} + {elements.at(node.operands[2], indices[-1:])}"

    return given
