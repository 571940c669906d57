"""Prints Triton that computes a tile of any value of a region."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ...ir.graph import Function, Node, Value
from ...ir.types import Dim, DType
from ..element_walk import ElementWalk, with_index
from ..reshape import number
from .expressions import TRITON_SCALARS
from .indices import ZERO, Index, linear_index, masks_of, reshape_indices
from .kernel import padded

Indices = tuple[Index, ...]
Shape = Sequence[Dim]
Given = Callable[[Indices], str]
"""Prints the elements of a value that is computed elsewhere: an expression of a tile of floats."""


class Elements(ElementWalk[Index]):
    """The walk in Triton: tiles with ``rank`` axes, floats as f32 and integers as they are.

    ``heads`` are lines that must come before all others. Gluon wants the ``layout`` of tiles, which
    have two axes there.
    """

    expression, zero = TRITON_SCALARS, ZERO

    def __init__(self, function: Function, rank: int = 1, layout: str = ""):
        super().__init__(function)
        self.rank, self.layout = rank, layout
        self.lines: list[str] = []
        self.heads: list[str] = []

    def full(self, size: int, axis: int = -1, least: int = 1) -> Index:
        """Every place of an axis of ``size``, along an axis of the tile: ``least`` long or more."""
        axis %= self.rank
        width = padded(size, least)
        name = f"i{axis}_{size}" if width == padded(size) else f"i{axis}_{size}_of_{width}"
        shape = ", ".join(":" if a == axis else "None" for a in range(self.rank))
        along = f", layout=tl.SliceLayout({1 - axis}, {self.layout})" if self.layout else ""
        line = f"{name} = tl.arange(0, {width}{along})[{shape}]"
        if line not in self.heads:
            self.heads.append(line)
        return Index(name, 0, size, () if width == size else (f"({name} < {size})",))

    def bound(self, value: Value, text: str) -> str:
        """A variable for elements of a value."""
        return self.bind(text, value.name)

    def bind(self, text: str, comment: str = "") -> str:
        """A variable for the value of an expression."""
        if re.fullmatch(r"v\d+", text):
            return text
        self.count += 1
        note = f"  # {comment}" if comment else ""
        self.lines.append(f"v{self.count} = {text}{note}")
        return f"v{self.count}"

    def load(self, value: Value, indices: Indices) -> str:
        """Elements of a parameter."""
        place = linear_index(indices, [number(d) for d in value.shape])
        masks = masks_of(indices)
        text = f"p_{name_of(value)} + {place.text}"
        mask = f", mask={' & '.join(masks)}, other=0" if masks else ""
        kind = ".to(tl.float32)" if value.dtype.is_float else ""
        return f"tl.load({text}{mask}){kind}"

    def cast(self, operand: Value, result: Value, variable: str) -> str:
        """Elements in another type."""
        if result.dtype is DType.BOOL and operand.dtype is not DType.BOOL:
            return f"({variable} != 0)"
        if operand.dtype.is_float and not result.dtype.is_float:
            return f"{variable}.to(tl.int32)"
        if result.dtype.is_float and not operand.dtype.is_float:
            return f"{variable}.to(tl.float32)"
        return variable

    def integer_at(self, value: Value, indices: Indices) -> Index:
        """Elements as an index that reads rows of a table, of any size."""
        return Index(f"{self.at(value, indices)}.to(tl.int64)", 0, None, masks_of(indices))

    def reshaped(self, indices: Indices, result: Shape, operand: Shape) -> Indices:
        """Indices into an operand of those of its reshape."""
        return reshape_indices(indices, result, operand)

    def chosen(self, node: Node, indices: Indices, bounds: Sequence[int]) -> str:
        """Elements of the operands that places are in; all are read, at places inside."""
        axis, result = node.attrs["axis"], ""
        place, masks = indices[axis].text, indices[axis].masks
        for piece, operand in reversed([*enumerate(node.operands)]):
            start, end = bounds[piece : piece + 2]
            low = f"tl.maximum({place} - {start}, 0)"
            inside = Index(f"tl.minimum({low}, {end - start - 1})", 0, end - start, masks)
            variable = self.at(operand, with_index(indices, axis, inside))
            result = f"tl.where({place} < {end}, {variable}, {result})" if result else variable
        return result

    def other(self, node: Node, indices: Indices) -> str:
        """Rotations and reductions."""
        from .reductions import REDUCERS

        printer = _rope if node.op == "rope" else REDUCERS.get(node.op)
        assert printer, f"no way to emit {node.op} in {self.function.name}"
        return printer(self, node, indices)


def loads_first(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """Loads that depend on nothing but loads, and all other lines, both in their order: so that
    what is loaded is on its way at once, and not one after another between reductions."""
    loads: list[str] = []
    others: list[str] = []
    computed: set[str] = set()
    for line in lines:
        name, _, text = line.partition(" = ")
        is_load = text.startswith("tl.load(") and not name.startswith(" ")  # nor in a loop
        if is_load and computed.isdisjoint(re.findall(r"\w+", text)):
            loads.append(line)
        else:
            computed.add(name.strip())
            others.append(line)
    return loads, others


def in_gluon(lines: Iterable[str]) -> list[str]:
    """Lines that were printed, in Triton's lower language, which has the same functions."""
    return [re.sub(r"\btl\.", "gl.", line) for line in lines]


def name_of(value: Value) -> str:
    """The value's name as an identifier."""
    return re.sub(r"\W", "_", value.name)


def _rope(elements: Elements, node: Node, indices: Indices) -> str:
    """x * cos -+ its partner * sin; columns beyond the rotary ones pass."""
    x, cos, sin = node.operands
    token, head, column = indices
    half, c = int(cos.shape[1]), column.text
    if node.attrs.get("style", "half") == "half":
        first, angle = f"({c} < {half})", f"({c} % {half})"
        partner = f"tl.where({first}, {c} + {half}, {c} - {half})"
    else:
        first, angle, partner = f"({c} % 2 == 0)", f"(({c} // 2) % {half})", f"({c} ^ 1)"
    width, passes = int(x.shape[2]), int(x.shape[2]) > 2 * half
    if passes:
        partner = f"tl.where({c} < {2 * half}, {partner}, {c})"
    straight = elements.at(x, indices)
    crossed = elements.at(x, (token, head, Index(f"({partner})", 0, width, column.masks)))
    turn = (token, Index(angle, 0, half, column.masks))
    sine = f"tl.where({first}, -{elements.at(sin, turn)}, {elements.at(sin, turn)})"
    turned = f"{straight} * {elements.at(cos, turn)} + {crossed} * {sine}"
    return f"tl.where({c} < {2 * half}, {turned}, {straight})" if passes else turned
