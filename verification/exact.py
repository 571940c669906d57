"""A region by its records twice: as they say, and with nothing rounded to 16 bits.

The second is the truth that a kernel is held against; how far the first is from it is what the
model's own type costs, and a kernel may be somewhat further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..ir.graph import Module
from ..ir.interpret import Interpreter
from ..ir.types import DType

_NARROW = (torch.bfloat16, torch.float16)


class Exact(Interpreter):
    """The interpreter in 32 bits; its operands are to be wide already."""

    def attribute(self, value: Any, symbols: Mapping[str, int]) -> Any:
        """What a record would round to 16 bits it leaves as it is."""
        is_narrow = value in (DType.BF16, DType.F16) if isinstance(value, DType) else False
        return DType.F32 if is_narrow else super().attribute(value, symbols)


def widened(value: Any) -> Any:
    """A tensor of floats of 16 bits in 32 bits, anything else as it is."""
    is_narrow = isinstance(value, torch.Tensor) and value.dtype in _NARROW
    return value.float() if is_narrow else value


def run_region(
    module: Module, name: str, operands: Sequence[Any], symbols: Mapping[str, int], exact: bool
) -> tuple[Any, ...]:
    """Results of a region's records; operands of exact ones are wide."""
    kind = Exact if exact else Interpreter
    return kind(module, {}, symbols).run(name, operands)
