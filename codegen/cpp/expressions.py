"""Prints the scalar expressions of elementwise op records as C++ over vectors of floats."""

from __future__ import annotations

from ..scalars import ScalarPrinter

_RENAMED = {"where": "select"}


def cpp_number(value: float) -> str:
    """A float literal broadcast to a vector: ``vf(0.5f)``."""
    if value != value:
        return "vf(NAN)"
    if value in (float("inf"), float("-inf")):
        return "vf(INFINITY)" if value > 0 else "vf(-INFINITY)"
    return f"vf({float(value)!r}f)"


CPP_SCALARS = ScalarPrinter(cpp_number, lambda name: _RENAMED.get(name, name))
