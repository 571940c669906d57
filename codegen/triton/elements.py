"""Prints Triton that computes a tile of any value of a region.

`Elements.at(value, indices)` walks from a value up to the region's parameters, printing one
statement for each value it needs there, once. Layout ops cost nothing: they change indices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from ...ir.graph import Function, Node, Value
from ...ir.ops import Kind, record_of
from ...ir.ops.elementwise import operand_names
from ...ir.types import DType
from ..reshape import number
from .expressions import triton_expression, triton_number
from .indices import ZERO, Index, linear_index, masks_of, reshape_indices
from .kernel import padded

Indices = tuple[Index, ...]
Given = Callable[[Indices], str]
"""Prints the elements of a value that is computed elsewhere: an expression of a tile of floats."""


class Elements:
    """Tiles of the values of ``function``, with ``rank`` axes.

    ``given`` are values that the kernel has at hand, such as a product's sums. In a scope each tile
    is printed once. ``heads`` are lines that must come before all others.
    """

    def __init__(self, function: Function, rank: int = 1):
        self.function, self.rank = function, rank
        self.producers = function.producers()
        self.lines: list[str] = []
        self.heads: list[str] = []
        self.given: dict[Value, Given] = {}
        self.known: dict[tuple[object, Indices], str] = {}
        self.count = 0

    def full(self, size: int, axis: int = -1) -> Index:
        """Every place of an axis of ``size``, along an axis of the tile."""
        axis %= self.rank
        name = f"i{axis}_{size}"
        shape = ", ".join(":" if a == axis else "None" for a in range(self.rank))
        line = f"{name} = tl.arange(0, {padded(size)})[{shape}]"
        if line not in self.heads:
            self.heads.append(line)
        return Index(name, 0, size, () if padded(size) == size else (f"({name} < {size})",))

    def at(self, value: Value, indices: Sequence[Index]) -> str:
        """The variable that holds ``value[indices]``: floats as f32, integers as they are."""
        key = (value, tuple(indices))
        if key not in self.known:
            self.known[key] = self.bind(self._print(value, key[1]), value.name)
        return self.known[key]

    def bind(self, text: str, comment: str = "") -> str:
        """A variable for the value of an expression."""
        if re.fullmatch(r"v\d+", text):
            return text
        self.count += 1
        note = f"  # {comment}" if comment else ""
        self.lines.append(f"v{self.count} = {text}{note}")
        return f"v{self.count}"

    def integer_at(self, value: Value, indices: Indices, high: int | None = None) -> Index:
        """``value[indices]`` as an index."""
        return Index(self.at(value, indices), 0, high, masks_of(indices))

    def _print(self, value: Value, indices: Indices) -> str:
        if value in self.given:
            return self.given[value](indices)
        node = self.producers.get(value)
        if node is None:
            return self._load(value, indices)
        if record_of(node.op).kind is Kind.ELEMENTWISE:
            return self._elementwise(node, indices)
        from .reductions import REDUCERS

        printer = _PRINTERS.get(node.op) or REDUCERS.get(node.op)
        assert printer, f"no way to emit {node.op} in {self.function.name}"
        return printer(self, node, indices)

    def _load(self, value: Value, indices: Indices) -> str:
        place = linear_index(indices, [number(d) for d in value.shape])
        masks = masks_of(indices)
        text = f"p_{name_of(value)} + {place.text}"
        mask = f", mask={' & '.join(masks)}, other=0" if masks else ""
        kind = ".to(tl.float32)" if value.dtype.is_float else ""
        return f"tl.load({text}{mask}){kind}"

    def _elementwise(self, node: Node, indices: Indices) -> str:
        record = record_of(node.op)
        variables = [self.at(v, broadcast_indices(v, indices)) for v in node.operands]
        if node.op == "cast":
            return _cast(node.operands[0], node.result, variables[0])
        scalar = record.scalar or ""
        return triton_expression(scalar, dict(zip(operand_names(scalar), variables, strict=True)))


def in_gluon(lines: Iterable[str]) -> list[str]:
    """Lines that were printed, in Triton's lower language, which has the same functions."""
    return [re.sub(r"\btl\.", "gl.", line) for line in lines]


def name_of(value: Value) -> str:
    """The value's name as an identifier."""
    return re.sub(r"\W", "_", value.name)


def broadcast_indices(value: Value, indices: Indices) -> Indices:
    """Indices into an operand that is broadcast: axes of size 1 read place 0."""
    own = indices[len(indices) - value.type.rank :]
    return tuple(
        ZERO if number(d) == 1 else index for d, index in zip(value.shape, own, strict=True)
    )


def _cast(operand: Value, result: Value, variable: str) -> str:
    if result.dtype is DType.BOOL and operand.dtype is not DType.BOOL:
        return f"({variable} != 0)"
    if operand.dtype.is_float and not result.dtype.is_float:
        return f"{variable}.to(tl.int32)"
    if result.dtype.is_float and not operand.dtype.is_float:
        return f"{variable}.to(tl.float32)"
    return variable


def _constant(elements: Elements, node: Node, indices: Indices) -> str:
    return triton_number(float(node.attrs["value"]))


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
    row = elements.integer_at(rows, indices[:1])
    wide = Index(f"{row.text}.to(tl.int64)", row.low, row.high, row.masks)
    return elements.at(table, (wide, *indices[1:]))


def _concat(elements: Elements, node: Node, indices: Indices) -> str:
    axis, bounds = node.attrs["axis"], [0]
    for operand in node.operands:
        bounds.append(bounds[-1] + number(operand.shape[axis]))
    index = indices[axis]
    piece = index.piece(bounds)
    if piece is not None:
        inside = index.plus(-bounds[piece])
        return elements.at(node.operands[piece], _with(indices, axis, inside))
    result = ""
    for operand, start, end in reversed(
        list(zip(node.operands, bounds[:-1], bounds[1:], strict=True))
    ):
        low, last = f"tl.maximum({index.text} - {start}, 0)", end - start - 1
        inside = Index(f"tl.minimum({low}, {last})", 0, end - start, index.masks)
        variable = elements.at(operand, _with(indices, axis, inside))
        result = f"tl.where({index.text} < {end}, {variable}, {result})" if result else variable
    return result


def _with(indices: Indices, axis: int, index: Index) -> Indices:
    return (*indices[:axis], index, *indices[axis + 1 :])


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
