"""Ops that call functions of the module: repeated layers and fused regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..types import TensorType
from .base import LEVELS, REQUIRED, Attrs, Kind, OpRecord, no_flops, register


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    raise AssertionError("control ops take their types from the functions they call")


def _reference(operands: Sequence[Any], attrs: Attrs) -> tuple[Any, ...]:
    raise AssertionError("the interpreter runs control ops itself")


register(
    OpRecord(
        "repeat",
        "run the functions of ``pattern`` in turn, ``count`` times over. The first ``carried``"
        " operands are replaced by a function's results for the next; the others are the same for"
        " all. After them each function takes its own weights: weights[p] names the families, of"
        " which iteration i takes member i; iterations count from ``first``. In the function at"
        " place p of the pattern, attributes that hold ``i`` mean index[p] (by default the"
        " iteration). A function that runs once may give values of other types than it takes.",
        Kind.CONTROL,
        ("values*",),
        _infer,
        _reference,
        no_flops,
        {
            "pattern": REQUIRED,
            "count": REQUIRED,
            "first": 0,
            "carried": REQUIRED,
            "weights": REQUIRED,
            "index": None,
        },
    )
)
register(
    OpRecord(
        "region",
        "call a fused function: the unit of code generation. Attributes of its body that hold ``i``"
        " mean ``layer`` there: the same function serves every layer of a cache group.",
        Kind.CONTROL,
        ("values*",),
        _infer,
        _reference,
        no_flops,
        {"function": REQUIRED, "layer": None},
        levels=(LEVELS[-1], LEVELS[-1]),
    )
)
