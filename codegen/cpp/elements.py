"""Prints C++ that computes one element, or sixteen consecutive ones, of any value of a region."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ...ir.graph import Function, Node, Value
from ...ir.types import Dim, DType
from ..element_walk import ElementWalk, with_index
from ..reshape import number
from .expressions import CPP_SCALARS
from .indices import ZERO, Index, NotVector, linear_index, reshape_indices

CPP_TYPES = {DType.F32: "float", DType.BF16: "bf16", DType.I32: "i32", DType.I64: "i64"}

Indices = tuple[Index, ...]
Shape = Sequence[Dim]
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


class Elements(ElementWalk[Index]):
    """The walk in C++: a variable is a vf, or a vm for booleans.

    ``packed`` names parameters stored as packed weights.
    """

    expression, zero = CPP_SCALARS, ZERO

    def __init__(self, function: Function, out: Writer, packed: frozenset[str] = frozenset()):
        super().__init__(function)
        self.out, self.packed, self.lanes = out, packed, "n"

    def new_scope(self) -> None:
        """Forget what was printed: a new loop body begins."""
        self.known = {}

    def bound(self, value: Value, text: str) -> str:
        """A variable for an element of a value."""
        if re.fullmatch(r"v\d+", text):
            return text
        self.count += 1
        name = f"v{self.count}"
        kind = "vm" if value.dtype is DType.BOOL else "vf"
        self.out.line(f"const {kind} {name} = {text};  // {value.name}")
        return name

    def load(self, value: Value, indices: Indices) -> str:
        """An element of a parameter, or sixteen. Raises NotVector."""
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

    def cast(self, operand: Value, result: Value, variable: str) -> str:
        """An element in another type."""
        if operand.dtype is DType.BOOL and result.dtype is not DType.BOOL:
            return f"select({variable}, vf(1.0f), vf(0.0f))"
        if result.dtype is DType.BOOL and operand.dtype is not DType.BOOL:
            return f"{variable} != vf(0.0f)"
        if operand.dtype.is_float and not result.dtype.is_float:
            return f"to_float(truncate({variable}))"
        return variable

    def integer_at(self, value: Value, indices: Indices) -> Index:
        """``value[indices]`` as a single integer."""
        if value not in self.producers:
            place = linear_index(indices, [number(d) for d in value.shape])
            return Index(f"(i64)p_{cpp_name(value)}[{place.text}]")
        return Index(f"(i64)first({self.at(value, indices)})")

    def reshaped(self, indices: Indices, result: Shape, operand: Shape) -> Indices:
        """Indices into an operand of those of its reshape."""
        return reshape_indices(indices, result, operand)

    def chosen(self, node: Node, indices: Indices, bounds: Sequence[int]) -> str:
        """The element of the operand that a place is in; all are read, at places inside."""
        axis, result = node.attrs["axis"], ""
        place = indices[axis].text
        for piece, operand in reversed([*enumerate(node.operands)]):
            start, end = bounds[piece : piece + 2]
            inside = Index(f"clamp({place} - {start}, 0, {end - start - 1})", 0, end - start)
            variable = self.at(operand, with_index(indices, axis, inside))
            result = f"({place} < {end} ? {variable} : {result})" if result else variable
        return result

    def other(self, node: Node, indices: Indices) -> str:
        """A rotation; all else is given."""
        assert node.op == "rope", f"no way to emit {node.op} in {self.function.name}"
        return _rope(self, node, indices)

    def _width(self, index: Index) -> str:
        return self.lanes if index.vector else "1"


def cpp_name(value: Value) -> str:
    """The value's name as a C++ identifier."""
    return re.sub(r"\W", "_", value.name)


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
