"""Prints C++ that computes one element, or sixteen consecutive ones, of any value of a region.

`Elements.at(value, indices)` walks from a value up to the region's parameters, printing one
statement for each value it needs there, once. Layout ops cost nothing: they change indices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ...ir.graph import Function, Node, Value
from ...ir.ops import Kind, record_of
from ...ir.ops.elementwise import operand_names
from ...ir.types import DType
from ..reshape import number
from .expressions import cpp_expression, cpp_number
from .indices import ZERO, Index, NotVector, linear_index, reshape_indices

CPP_TYPES = {DType.F32: "float", DType.BF16: "bf16", DType.I32: "i32", DType.I64: "i64"}

Indices = tuple[Index, ...]
Given = Callable[[Indices], str]
"""Prints the element of a value that is computed elsewhere: an expression of type vf."""


class Writer:
    """Lines of C++ with their indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 1

    def line(self, text: str) -> None:
        """Add one line."""
        self.lines.append("    " * self.depth + text)

    def open(self, text: str) -> None:
        """Add a line that opens a block."""
        self.line(text)
        self.depth += 1

    def close(self, text: str = "}") -> None:
        """Add the line that closes a block."""
        self.depth -= 1
        self.line(text)


class Elements:
    """Elements of the values of ``function``.

    ``packed`` names parameters stored as packed weights; ``given`` values that the kernel has at
    hand (a product's sums, a row's reductions). In a scope, each element is printed once.
    """

    def __init__(self, function: Function, out: Writer, packed: frozenset[str] = frozenset()):
        self.function, self.out, self.packed = function, out, packed
        self.producers = function.producers()
        self.given: dict[Value, Given] = {}
        self.known: dict[tuple[Value, Indices], str] = {}
        self.count = 0
        self.lanes = "n"

    def new_scope(self) -> None:
        """Forget what was printed: a new loop body begins."""
        self.known = {}

    def at(self, value: Value, indices: Sequence[Index]) -> str:
        """The variable that holds ``value[indices]``: a vf, or a vm for booleans."""
        key = (value, tuple(indices))
        if key not in self.known:
            self.known[key] = self._bind(value, self._print(value, key[1]))
        return self.known[key]

    def integer_at(self, value: Value, indices: Indices) -> Index:
        """``value[indices]`` as a single integer."""
        if value not in self.producers:
            place = linear_index(indices, [number(d) for d in value.shape])
            return Index(f"(i64)p_{cpp_name(value)}[{place.text}]")
        return Index(f"(i64)first({self.at(value, indices)})")

    def _bind(self, value: Value, text: str) -> str:
        if re.fullmatch(r"v\d+", text):
            return text
        self.count += 1
        name = f"v{self.count}"
        kind = "vm" if value.dtype is DType.BOOL else "vf"
        self.out.line(f"const {kind} {name} = {text};  // {value.name}")
        return name

    def _print(self, value: Value, indices: Indices) -> str:
        if value in self.given:
            return self.given[value](indices)
        node = self.producers.get(value)
        if node is None:
            return self._load(value, indices)
        if record_of(node.op).kind is Kind.ELEMENTWISE:
            return self._elementwise(node, indices)
        assert node.op in _PRINTERS, f"no way to emit {node.op} in {self.function.name}"
        return _PRINTERS[node.op](self, node, indices)

    def _load(self, value: Value, indices: Indices) -> str:
        sizes = [number(d) for d in value.shape]
        name = f"p_{cpp_name(value)}"
        if value.name in self.packed:
            row, k = indices
            return f"load_row({name}, {sizes[1]}, {row.text}, {k.text}, {self._width(k)})"
        place = linear_index(indices, sizes)
        if any(i.vector for i in indices[:-1]):
            raise NotVector
        if place.vector:
            return f"load({name} + {place.text}, {self.lanes})"
        return f"vf(load_one({name} + {place.text}))"

    def _width(self, index: Index) -> str:
        return self.lanes if index.vector else "1"

    def _elementwise(self, node: Node, indices: Indices) -> str:
        record = record_of(node.op)
        variables = [self.at(v, broadcast_indices(v, indices)) for v in node.operands]
        if node.op == "cast":
            return _cast(node.operands[0], node.result, variables[0])
        return cpp_expression(
            record.scalar or "",
            dict(zip(operand_names(record.scalar or ""), variables, strict=True)),
        )


def cpp_name(value: Value) -> str:
    """The value's name as a C++ identifier."""
    return re.sub(r"\W", "_", value.name)


def broadcast_indices(value: Value, indices: Indices) -> Indices:
    """Indices into an operand that is broadcast: axes of size 1 read place 0."""
    own = indices[len(indices) - value.type.rank :]
    return tuple(
        ZERO if number(d) == 1 else index for d, index in zip(value.shape, own, strict=True)
    )


def _cast(operand: Value, result: Value, variable: str) -> str:
    if operand.dtype is DType.BOOL and result.dtype is not DType.BOOL:
        return f"select({variable}, vf(1.0f), vf(0.0f))"
    if result.dtype is DType.BOOL and operand.dtype is not DType.BOOL:
        return f"{variable} != vf(0.0f)"
    if operand.dtype.is_float and not result.dtype.is_float:
        return f"to_float(truncate({variable}))"
    return variable


def _constant(elements: Elements, node: Node, indices: Indices) -> str:
    return cpp_number(float(node.attrs["value"]))


def _reshape(elements: Elements, node: Node, indices: Indices) -> str:
    operand = node.operands[0]
    return elements.at(operand, reshape_indices(indices, node.result.shape, operand.shape))


def _transpose(elements: Elements, node: Node, indices: Indices) -> str:
    source = [ZERO] * len(indices)
    for axis, origin in enumerate(node.attrs["permutation"]):
        source[origin] = indices[axis]
    return elements.at(node.operands[0], source)


def _slice(elements: Elements, node: Node, indices: Indices) -> str:
    axis, source = node.attrs["axis"], list(indices)
    source[axis] = source[axis].times(node.attrs.get("step", 1)).plus(node.attrs["start"])
    return elements.at(node.operands[0], source)


def _broadcast(elements: Elements, node: Node, indices: Indices) -> str:
    return elements.at(node.operands[0], broadcast_indices(node.operands[0], indices))


def _gather(elements: Elements, node: Node, indices: Indices) -> str:
    table, rows = node.operands
    return elements.at(table, (elements.integer_at(rows, indices[:1]), *indices[1:]))


def _concat(elements: Elements, node: Node, indices: Indices) -> str:
    axis, bounds = node.attrs["axis"], [0]
    for operand in node.operands:
        bounds.append(bounds[-1] + number(operand.shape[axis]))
    index = indices[axis]
    piece = index.piece(bounds)
    if piece is not None:
        return elements.at(node.operands[piece], _with(indices, axis, index.plus(-bounds[piece])))
    result = ""
    for operand, start, end in reversed(
        list(zip(node.operands, bounds[:-1], bounds[1:], strict=True))
    ):
        inside = Index(f"clamp({index.text} - {start}, 0, {end - start - 1})", 0, end - start)
        variable = elements.at(operand, _with(indices, axis, inside))
        result = f"({index.text} < {end} ? {variable} : {result})" if result else variable
    return result


def _with(indices: Indices, axis: int, index: Index) -> Indices:
    return (*indices[:axis], index, *indices[axis + 1 :])


def _rope(elements: Elements, node: Node, indices: Indices) -> str:
    x, cos, sin = node.operands
    token, head, column = indices
    half = int(cos.shape[1])
    piece = None
    if node.attrs.get("style", "half") == "half":
        piece = column.piece([0, half, 2 * half, int(x.shape[2])])
    elif column.vector:
        raise NotVector
    if piece is None:
        return _rope_element(elements, node, indices, half)
    if piece == 2:
        return elements.at(x, indices)
    other = column.plus(half if piece == 0 else -half)
    angle = (token, column.plus(0 if piece == 0 else -half))
    straight, crossed = elements.at(x, indices), elements.at(x, (token, head, other))
    sign = "-" if piece == 0 else "+"
    return f"{straight} * {elements.at(cos, angle)} {sign} {crossed} * {elements.at(sin, angle)}"


def _rope_element(elements: Elements, node: Node, indices: Indices, half: int) -> str:
    """One element at a place that is only known when the kernel runs."""
    x, cos, sin = node.operands
    token, head, column = indices
    interleaved = node.attrs.get("style", "half") != "half"
    pair = "interleaved_pair" if interleaved else "half_pair"
    elements.count += 1
    name = f"pair{elements.count}"
    elements.out.line(f"const rope_pair {name} = {pair}({column.text}, {half});")
    angle = (token, Index(f"{name}.angle", 0, half))
    crossed = elements.at(x, (token, head, Index(f"{name}.other", 0, int(x.shape[2]))))
    straight, c, s = elements.at(x, indices), elements.at(cos, angle), elements.at(sin, angle)
    return f"{name}.turn({straight}, {crossed}, {c}, {s})"


_PRINTERS: Mapping[str, Callable[[Elements, Node, Indices], str]] = {
    "constant": _constant,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "broadcast": _broadcast,
    "gather_rows": _gather,
    "concat": _concat,
    "rope": _rope,
}
