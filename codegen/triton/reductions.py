"""Prints the reductions of a line, the last axis of a value, as tiles that `Elements` then reads.

A line is a whole axis of the tile, so it is in registers at once; its sum is the compiler's tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...ir.graph import Node, Value
from .elements import Elements, Indices
from .expressions import triton_number
from .indices import Index

_START = {"sum": "0.0", "max": 'float("-inf")'}


def _line(elements: Elements, value: Value, indices: Indices, fill: str) -> tuple[str, Index]:
    """The whole last axis, with ``fill`` where the tile is longer than the axis."""
    column = elements.full(int(value.shape[-1]))
    variable = elements.at(value, (*indices[:-1], column))
    if column.masks:
        variable = elements.bind(f"tl.where({column.masks[0]}, {variable}, {fill})")
    return variable, column


def _once(elements: Elements, node: Node, what: str, indices: Indices, text: str) -> str:
    """The variable of a reduction, printed once for the lines it is of."""
    key = ((id(node), what), indices[:-1])
    if key not in elements.known:
        elements.known[key] = elements.bind(text, f"{node.result.name} {what}")
    return elements.known[key]


def _reduce(elements: Elements, kind: str, text: str) -> str:
    return f"tl.{kind}({text}, axis={elements.rank - 1}, keep_dims=True)"


def _plain(kind: str, mean: bool = False) -> Callable[[Elements, Node, Indices], str]:
    def printer(elements: Elements, node: Node, indices: Indices) -> str:
        value = node.operands[0]
        if node.attrs["axis"] not in (-1, value.type.rank - 1):
            return _over_inner_axis(elements, node, indices, kind, mean)
        line, _ = _line(elements, value, indices, _START[kind])
        text = _reduce(elements, kind, line)
        return _once(elements, node, kind, indices, f"{text} / {value.shape[-1]}" if mean else text)

    return printer


def _over_inner_axis(
    elements: Elements, node: Node, indices: Indices, kind: str, mean: bool
) -> str:
    """Adds up the axis's elements, one place after another."""
    value, axis = node.operands[0], node.attrs["axis"]
    assert axis > 0, f"{node.op} over the rows of a step"
    size, total = int(value.shape[axis]), ""
    for place in range(size):
        inner = (*indices[:axis], Index(str(place), place, place + 1), *indices[axis + 1 :])
        variable = elements.at(value, inner)
        combined = f"{total} + {variable}" if kind == "sum" else f"tl.maximum({total}, {variable})"
        total = elements.bind(combined) if total else variable
    return f"{total} / {size}" if mean else total


def _softmax(elements: Elements, node: Node, indices: Indices) -> str:
    value = node.operands[0]
    line, _ = _line(elements, value, indices, _START["max"])
    top = _once(elements, node, "top", indices, _reduce(elements, "max", line))
    total = _reduce(elements, "sum", f"tl.exp({line} - {top})")
    total = _once(elements, node, "total", indices, total)
    return f"tl.exp({elements.at(value, indices)} - {top}) / {total}"


def _rms_norm(elements: Elements, node: Node, indices: Indices) -> str:
    value, *weight = node.operands
    line, _ = _line(elements, value, indices, "0.0")
    mean = f"{_reduce(elements, 'sum', f'{line} * {line}')} / {value.shape[-1]}"
    eps = triton_number(float(node.attrs["eps"]))
    scale = _once(elements, node, "scale", indices, f"tl.rsqrt({mean} + {eps})")
    if not weight:
        return f"{elements.at(value, indices)} * {scale}"
    offset = float(node.attrs.get("offset", 0.0))
    factor = elements.at(weight[0], indices[-1:])
    factor = f"({triton_number(offset)} + {factor})" if offset else factor
    return f"{elements.at(value, indices)} * {scale} * {factor}"


def _layer_norm(elements: Elements, node: Node, indices: Indices) -> str:
    value, *parameters = node.operands
    line, column = _line(elements, value, indices, "0.0")
    mean = f"{_reduce(elements, 'sum', line)} / {value.shape[-1]}"
    mean = _once(elements, node, "mean", indices, mean)
    centred = f"({line} - {mean})"
    if column.masks:
        centred = f"tl.where({column.masks[0]}, {line} - {mean}, 0.0)"
    centred = elements.bind(centred)
    square = f"{_reduce(elements, 'sum', f'{centred} * {centred}')} / {value.shape[-1]}"
    eps = triton_number(float(node.attrs["eps"]))
    scale = _once(elements, node, "scale", indices, f"tl.rsqrt({square} + {eps})")
    text = f"({elements.at(value, indices)} - {mean}) * {scale}"
    for operator, parameter in zip("*+", parameters, strict=False):
        text = f"{text} {operator} {elements.at(parameter, indices[-1:])}"
    return text


def _topk(elements: Elements, node: Node, _: Indices) -> str:
    raise AssertionError(f"{node.op} is printed for both of its results by `bind_topk`")


def bind_topk(elements: Elements, node: Node, row: Index) -> None:
    """Prints the k best of each line and their places, by taking the best k times."""
    value, k = node.operands[0], int(node.attrs["k"])
    assert value.type.rank == 2, "topk of more than one line in a row"
    line, column = _line(elements, value, (row, Index("0")), _START["max"])
    places, axis = elements.full(k), elements.rank - 1
    rest, best, which = (f"{stem}{elements.count}" for stem in ("rest", "best", "which"))
    elements.lines += [
        f"{rest} = {line}",
        f"{best} = tl.zeros_like({places.text}).to(tl.float32)",
        f"{which} = tl.zeros_like({places.text})",
        f"for j in tl.static_range({k}):",
        f"    top = tl.max({rest}, axis={axis}, keep_dims=True)",
        f"    at = tl.argmax({rest}, axis={axis}, keep_dims=True)",
        f"    {best} = tl.where({places.text} == j, top, {best})",
        f"    {which} = tl.where({places.text} == j, at, {which})",
        f'    {rest} = tl.where({column.text} == at, float("-inf"), {rest})',
    ]
    for result, variable in zip(node.results, (best, which), strict=True):
        elements.given[result] = _whole(node, variable, places)


def _whole(node: Node, variable: str, places: Index) -> Callable[[Indices], str]:
    def given(indices: Indices) -> str:
        is_only = places.high == 1 and indices[-1].text == "0"
        assert is_only or indices[-1].text == places.text, f"a part of {node.op}"
        return variable

    return given


REDUCERS: Mapping[str, Callable[[Elements, Node, Indices], str]] = {
    "reduce_sum": _plain("sum"),
    "reduce_mean": _plain("sum", mean=True),
    "reduce_max": _plain("max"),
    "softmax": _softmax,
    "rms_norm": _rms_norm,
    "layer_norm": _layer_norm,
    "topk": _topk,
}
