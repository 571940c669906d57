"""What a call of a region or of a part of it costs, as linear expressions in sizes of a step.

Beside the symbols of dimensions there are K, the pairs of a token and a key that it sees, and E,
the distinct experts that a step reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...ir.graph import Function, Node, Value
from ...ir.ops import record_of
from ...ir.types import SYMBOLS, Dim, DType, TensorType

ATTENDS = ("attention", "paged_attention")
_CUTTING = ("gather_rows", "slice")

KEPT = ("N", "L")
"""Symbols of what lasts from step to step, of which a call touches but a few rows."""


class Cost(NamedTuple):
    """Bytes of memory that are read and written, floating-point operations, and of the bytes those
    of rows that a product multiplies: every block of its columns reads them again."""

    bytes: Dim
    flops: Dim
    multiplied: Dim = Dim()

    def to_json(self) -> dict[str, Any]:
        """The fields of a kernel's record."""
        return {name: dim.to_json() for name, dim in self._asdict().items()}


NOTHING = Cost(Dim(), Dim())


def cost_of(function: Function) -> Cost:
    """Of all ops of a region."""
    rows = {node.operands[0] for node in function.nodes if node.op == "linear"}
    multiplied = sum((bytes_of(value) for value in rows), Dim())
    return Cost(region_bytes(function), _all_flops(function), multiplied)


def region_bytes(function: Function) -> Dim:
    """Of parameters and results; caches and what slots keep are not counted.

    Of a table those rows are counted that are gathered from it, of routed experts those that are
    read, of what is only cut the pieces.
    """
    routed = {v for node in function.nodes for v in _routed(node)}
    read = [piece for value in function.params for piece in _read(function, value)]
    values: Sequence[Value] = (*read, *function.results)
    return sum((bytes_of(v, v in routed) for v in values if _is_linear(v.type)), Dim())


def _read(function: Function, value: Value) -> Sequence[Value]:
    """What is read of a parameter."""
    users = [node for node in function.nodes if value in node.operands]
    is_cut = all(node.op in _CUTTING and node.operands[0] is value for node in users)
    return [node.results[0] for node in users] if users and is_cut else [value]


def bytes_of(value: Value, is_routed: bool = False) -> Dim:
    """Of one value; if its leading axis is that of routed experts, of those that are read."""
    num_bytes = value.type.num_bytes()
    return Dim.of("E") * (int(num_bytes) // int(value.shape[0])) if is_routed else num_bytes


def routing_of(function: Function) -> tuple[int, int] | None:
    """How many routed experts a region has, and how many of them a token chooses."""
    found = [node for node in function.nodes if node.op == "experts"]
    return (int(found[0].operands[4].shape[0]), _num_chosen(found[0])) if found else None


def experts_costs(node: Node) -> tuple[Cost, Cost]:
    """Of the product by gate and up, and of that by down; between them lie the active values."""
    x, indices, _, gate_up, down, *biases = node.operands
    pairs = indices.shape[0] * _num_chosen(node)
    active = pairs * (int(down.shape[2]) * x.dtype.itemsize)
    costs = []
    for place, weight in enumerate((gate_up, down)):
        read = [weight, *biases[place : place + 1]]
        moved = sum((bytes_of(value, True) for value in read), x.type.num_bytes() + active)
        costs.append(Cost(moved, pairs * (2 * int(weight.shape[1]) * int(weight.shape[2]))))
    return costs[0], costs[1]


def _num_chosen(node: Node) -> int:
    return int(node.operands[1].shape[1])


def _routed(node: Node) -> Sequence[Value]:
    return node.operands[3:] if node.op == "experts" else ()


def _is_linear(type: TensorType) -> bool:
    symbolic = [dim for dim in type.shape if not dim.is_const]
    is_kept = any(symbol in KEPT for dim in symbolic for symbol, _ in dim.terms)
    return type.dtype is not DType.STATE and len(symbolic) <= 1 and not is_kept


def _all_flops(function: Function) -> Dim:
    """By the op records; that of attention is for one key."""
    total = Dim()
    for node in function.nodes:
        flops = _flops(node)
        total += Dim.of("K") * flops.evaluate({"T": 1}) if node.op in ATTENDS else flops
    return total


def _flops(node: Node) -> Dim:
    total = Dim()
    constant = _flops_at(node, dict.fromkeys(SYMBOLS, 0))
    dims = [dim for value in (*node.operands, *node.results) for dim in value.type.shape]
    for symbol in dict.fromkeys(symbol for dim in dims for symbol, _ in dim.terms):
        one = _flops_at(node, dict.fromkeys(SYMBOLS, 0) | {symbol: 1})
        total = total + Dim.of(symbol) * round(one - constant)
    return total + round(constant)


def _flops_at(node: Node, symbols: dict[str, int]) -> float:
    record = record_of(node.op)
    return record.flops(
        [_concrete(v.type, symbols) for v in node.operands],
        [_concrete(v.type, symbols) for v in node.results],
        record.complete(node.attrs),
    )


def _concrete(type: TensorType, symbols: dict[str, int]) -> TensorType:
    return type.with_shape(*type.concrete(symbols))
