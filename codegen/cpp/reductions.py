"""Prints the reductions of a row into local arrays, from which `Elements` then reads.

Sums run over columns in one fixed order: sixteen lanes side by side, added in a fixed tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from ...ir.graph import Node, Value
from ...ir.types import Dim
from ..reshape import number
from .elements import Elements, Indices
from .expressions import cpp_number
from .indices import Index, linear_index
from .loops import element_loops

ROW = Index("t")
START = {"sum": "0.0f", "max": "-INFINITY"}
COMBINE = {"sum": "{} + {}", "max": "max({}, {})"}


class _Row:
    """The axes of a value inside a row: all but the leading one, if that runs over the rows."""

    def __init__(self, value: Value, rows: Dim):
        self.leading: Indices = (ROW,) if value.type.rank and value.shape[0] == rows else ()
        self.inner = value.shape[len(self.leading) :]
        self.sizes = [number(d) for d in self.inner]

    @property
    def count(self) -> int:
        """How many reductions of the last axis the row holds."""
        return prod(self.sizes[:-1])

    def place(self, indices: Indices) -> str:
        """Which of them an element belongs to."""
        inner = indices[len(self.leading) : -1]
        return linear_index(inner, self.sizes[:-1]).text


Term = Callable[[str, str], str]
"""Prints what an element adds: from its variable and the place of its reduction."""


def _reduce(
    elements: Elements, value: Value, row: _Row, name: str, kind: str, term: Term, final: str
) -> None:
    """``float name[count]``: the sum or maximum of ``term`` over the last axis, then ``final``."""
    out, start = elements.out, START[kind]
    out.line(f"float {name}[{row.count}];")
    leading, inner = row.leading, row.inner
    closers = 0
    for size in row.sizes[:-1]:
        index = f"i{len(leading)}"
        out.open(f"for (i64 {index} = 0; {index} < {size}; {index}++) {{")
        leading, inner, closers = (*leading, Index(index, 0, size)), inner[1:], closers + 1
    out.open("{")
    out.line(f"vf total({start});")

    def body(indices: Indices) -> None:
        text = term(elements.at(value, indices), row.place(indices))
        text = f"first_or({text}, n, {start})"
        out.line(f"total = {COMBINE[kind].format('total', text)};")

    element_loops(elements, leading, inner, body)
    place = row.place((*leading, Index("c")))
    out.line(f"const float x = reduce_{kind}(total);")
    out.line(f"{name}[{place}] = {final};")
    for _ in range(closers + 1):
        out.close()


def _names(elements: Elements, *stems: str) -> list[str]:
    elements.count += 1
    return [f"{stem}{elements.count}" for stem in stems]


def _plain(kind: str, mean: bool = False) -> Callable[[Elements, Node, Dim], None]:
    def reducer(elements: Elements, node: Node, rows: Dim) -> None:
        value = node.operands[0]
        if node.attrs["axis"] not in (-1, value.type.rank - 1):
            elements.given[node.result] = _over_inner_axis(elements, node, kind, mean)
            return
        row, (name,) = _Row(value, rows), _names(elements, node.op)
        final = f"x / {float(row.sizes[-1])!r}f" if mean else "x"
        _reduce(elements, value, row, name, kind, lambda x, _: x, final)
        elements.given[node.result] = lambda indices: f"vf({name}[{row.place(indices)}])"

    return reducer


def _over_inner_axis(
    elements: Elements, node: Node, kind: str, mean: bool
) -> Callable[[Indices], str]:
    """A loop over the axis wherever the result is read: sixteen columns are reduced at once."""
    value, axis = node.operands[0], node.attrs["axis"]
    assert axis > 0, f"{node.op} over the rows of a step"
    size = int(value.shape[axis])

    def given(indices: Indices) -> str:
        total, step = _names(elements, "total", "k")
        elements.out.line(f"vf {total}({START[kind]});")
        elements.out.open(f"for (i64 {step} = 0; {step} < {size}; {step}++) {{")
        outside = dict(elements.known)
        inner = (*indices[:axis], Index(step, 0, size), *indices[axis + 1 :])
        x = elements.at(value, inner)
        elements.out.line(f"{total} = {COMBINE[kind].format(total, x)};")
        elements.out.close()
        elements.known = outside
        return f"{total} / vf({float(size)!r}f)" if mean else total

    return given


def _softmax(elements: Elements, node: Node, rows: Dim) -> None:
    value = node.operands[0]
    row, (top, total) = _Row(value, rows), _names(elements, "top", "total")
    _reduce(elements, value, row, top, "max", lambda x, _: x, "x")
    _reduce(elements, value, row, total, "sum", lambda x, i: f"exp({x} - vf({top}[{i}]))", "x")

    def given(indices: Indices) -> str:
        place = row.place(indices)
        return f"exp({elements.at(value, indices)} - vf({top}[{place}])) / vf({total}[{place}])"

    elements.given[node.result] = given


def _rms_norm(elements: Elements, node: Node, rows: Dim) -> None:
    value, *weight = node.operands
    row, (scale,) = _Row(value, rows), _names(elements, "scale")
    mean = f"x / {float(row.sizes[-1])!r}f + {float(node.attrs['eps'])!r}f"
    _reduce(elements, value, row, scale, "sum", lambda x, _: f"{x} * {x}", f"1.0f / sqrtf({mean})")
    offset = float(node.attrs.get("offset", 0.0))

    def given(indices: Indices) -> str:
        scaled = f"{elements.at(value, indices)} * vf({scale}[{row.place(indices)}])"
        if not weight:
            return scaled
        factor = elements.at(weight[0], indices[-1:])
        factor = f"({cpp_number(offset)} + {factor})" if offset else factor
        return f"{scaled} * {factor}"

    elements.given[node.result] = given


def _layer_norm(elements: Elements, node: Node, rows: Dim) -> None:
    value, *parameters = node.operands
    row, (mean, scale) = _Row(value, rows), _names(elements, "mean", "scale")
    size = f"{float(row.sizes[-1])!r}f"
    _reduce(elements, value, row, mean, "sum", lambda x, _: x, f"x / {size}")

    def centred(x: str, place: str) -> str:
        return f"({x} - vf({mean}[{place}]))"

    deviation = f"1.0f / sqrtf(x / {size} + {float(node.attrs['eps'])!r}f)"
    square = lambda x, i: f"{centred(x, i)} * {centred(x, i)}"  # noqa: E731
    _reduce(elements, value, row, scale, "sum", square, deviation)

    def given(indices: Indices) -> str:
        place = row.place(indices)
        text = f"{centred(elements.at(value, indices), place)} * vf({scale}[{place}])"
        for operator, parameter in zip("*+", parameters, strict=False):
            text = f"{text} {operator} {elements.at(parameter, indices[-1:])}"
        return text

    elements.given[node.result] = given


def _topk(elements: Elements, node: Node, rows: Dim) -> None:
    value, k = node.operands[0], int(node.attrs["k"])
    row, (line, best, places) = _Row(value, rows), _names(elements, "line", "best", "places")
    assert row.count == 1, "topk of more than one line in a row"
    size, padded = row.sizes[-1], -(-k // 16) * 16
    elements.out.line(f"float {line}[{size}], {best}[{padded}] = {{}};")
    elements.out.line(f"i32 {places}[{padded}] = {{}};")

    def body(indices: Indices) -> None:
        variable = elements.at(value, indices)
        elements.out.line(f"store({line} + {indices[-1].text}, {variable}, n);")

    element_loops(elements, row.leading, row.inner, body)
    elements.out.line(f"top({line}, {size}, {k}, {best}, {places});")
    for result, array in zip(node.results, (best, places), strict=True):
        elements.given[result] = _from_array(elements, array)


def _from_array(elements: Elements, array: str) -> Callable[[Indices], str]:
    def given(indices: Indices) -> str:
        column = indices[-1]
        if column.vector:
            return f"load({array} + {column.text}, n)"
        return f"vf(load_one({array} + {column.text}))"

    return given


REDUCERS: Mapping[str, Callable[[Elements, Node, Dim], None]] = {
    "reduce_sum": _plain("sum"),
    "reduce_mean": _plain("sum", mean=True),
    "reduce_max": _plain("max"),
    "softmax": _softmax,
    "rms_norm": _rms_norm,
    "layer_norm": _layer_norm,
    "topk": _topk,
}
