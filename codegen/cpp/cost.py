"""What one call of a region costs, as linear expressions in the dimensions of a step."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.graph import Function, Value
from ...ir.ops import record_of
from ...ir.types import SYMBOLS, Dim, DType, TensorType

KEPT = ("N", "L")
"""Symbols of what lasts from step to step, of which a call touches but a few rows."""


def region_bytes(function: Function) -> Dim:
    """Bytes of the parameters and results; caches and what slots keep are not counted.

    Of a table those rows are counted that are gathered from it.
    """
    gathers = [node for node in function.nodes if node.op == "gather_rows"]
    tables = {node.operands[0] for node in gathers}
    read = [value for value in function.params if value not in tables]
    read += [node.results[0] for node in gathers if node.operands[0] in function.params]
    values: Sequence[Value] = (*read, *function.results)
    return sum((v.type.num_bytes() for v in values if _is_linear(v.type)), Dim())


def _is_linear(type: TensorType) -> bool:
    symbolic = [dim for dim in type.shape if not dim.is_const]
    is_kept = any(symbol in KEPT for dim in symbolic for symbol, _ in dim.terms)
    return type.dtype is not DType.STATE and len(symbolic) <= 1 and not is_kept


def region_flops(function: Function) -> Dim:
    """Operations by the op records; of attention, those for each key that a query sees."""
    total = Dim()
    constant = _flops(function, dict.fromkeys(SYMBOLS, 0))
    for symbol in SYMBOLS:
        one = _flops(function, dict.fromkeys(SYMBOLS, 0) | {symbol: 1})
        total = total + Dim.of(symbol) * round(one - constant)
    return total + round(constant)


def _flops(function: Function, symbols: dict[str, int]) -> float:
    return sum(
        record.flops(
            [_concrete(v.type, symbols) for v in node.operands],
            [_concrete(v.type, symbols) for v in node.results],
            record.complete(node.attrs),
        )
        for node in function.nodes
        for record in [record_of(node.op)]
    )


def _concrete(type: TensorType, symbols: dict[str, int]) -> TensorType:
    return type.with_shape(*type.concrete(symbols))
