"""Level ``traced``: records derived from torch's own schemas and fake tensors, none written here.

An op is named ``aten.<name>.<overload>``. Tensor arguments are operands; all other arguments are
attributes under the schema's names; a list of tensors is spliced into the operands, with its
length as the attribute ``<name>_count``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from ..types import Dim, DType, TensorType
from .base import Attrs, Kind, OpRecord, no_flops
from .dtypes import to_torch

PREFIX = "aten."


def overload(name: str) -> Any:
    """The torch op of ``aten.mul.Tensor``; AttributeError when torch has none."""
    _, packet, variant = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), variant)


def _argument(value: Any) -> Any:
    if isinstance(value, DType):
        return to_torch(value)
    if isinstance(value, Dim):
        return int(value)
    if isinstance(value, tuple):
        return [_argument(item) for item in value]
    return value


def call(name: str, operands: Sequence[torch.Tensor], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    """Run the torch op on tensors, with symbols in attributes already replaced."""
    op, rest = overload(name), list(operands)
    values: dict[str, Any] = {}
    for argument in op._schema.arguments:
        count = attrs.get(f"{argument.name}_count")
        if count is not None:
            values[argument.name] = [rest.pop(0) for _ in range(count)]
        elif argument.name in attrs:
            values[argument.name] = _argument(attrs[argument.name])
        elif "Tensor" in str(argument.type) and rest:
            values[argument.name] = rest.pop(0)
        elif argument.name == "device" and not argument.has_default_value():
            values["device"] = torch.device("cpu")
    positional = [values.pop(a.name) for a in _positional(op, values)]
    result = op(*positional, **values)
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _positional(op: Any, values: dict[str, Any]) -> list[Any]:
    """Arguments to pass by position: the leading ones that have a value."""
    leading = []
    for argument in op._schema.arguments:
        if argument.kwarg_only or argument.name not in values:
            break
        leading.append(argument)
    return leading


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    raise AssertionError("traced types come from the trace; the verifier checks them by running")


@cache
def aten_record(name: str) -> OpRecord:
    """The derived record of ``name``; asserts when torch has no such op."""
    schema = overload(name)._schema
    attrs = {argument.name: None for argument in schema.arguments}
    attrs |= {f"{argument.name}_count": None for argument in schema.arguments}

    def reference(operands: Sequence[Any], given: Attrs) -> tuple[Any, ...]:
        return call(name, operands, {k: v for k, v in given.items() if v is not None})

    doc, levels = f"torch: {schema}", ("traced", "traced")
    return OpRecord(name, doc, Kind.ATEN, ("values*",), _infer, reference, no_flops, attrs, levels)
