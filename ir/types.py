"""Types of values: dtypes, dimensions that are linear in named symbols, and tensor types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import prod

SYMBOLS = ("T", "S", "R", "P", "N", "L", "i")
"""T tokens in a step, S sequences, R logit rows, P block-table width in pages, i repeat index; and,
fixed when an artifact is loaded, N slots and L entries of the token table."""


class DType(Enum):
    """Element types; the value is the name in IR text."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    I64 = "i64"
    I32 = "i32"
    BOOL = "bool"
    STATE = "state"  # an opaque cache that ops update in place; its size is the runtime's choice

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return {"f32": 4, "f16": 2, "bf16": 2, "i64": 8, "i32": 4, "bool": 1, "state": 0}[
            self.value
        ]

    @property
    def is_float(self) -> bool:
        """True for f32, f16 and bf16."""
        return self in (DType.F32, DType.F16, DType.BF16)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Dim:
    """A linear expression: ``const + sum(coefficient * symbol)``; terms sorted, none zero."""

    const: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def of(value: int | str | Dim) -> Dim:
        """A Dim from an int, a symbol or a text such as ``2*T + 1``."""
        if isinstance(value, Dim):
            return value
        return Dim(value) if isinstance(value, int) else _parse_dim(value)

    @property
    def is_const(self) -> bool:
        """True when no symbol occurs."""
        return not self.terms

    def __int__(self) -> int:
        assert self.is_const, f"dimension {self} is symbolic"
        return self.const

    def evaluate(self, symbols: Mapping[str, int]) -> int:
        """The value under ``symbols``; a KeyError names a symbol that is missing."""
        return self.const + sum(symbols[name] * factor for name, factor in self.terms)

    def renamed(self, names: Mapping[str, str]) -> Dim:
        """The same of other symbols, where ``names`` has them."""
        return sum((Dim.of(names.get(n, n)) * f for n, f in self.terms), Dim(self.const))

    def _combine(self, other: int | Dim, sign: int) -> Dim:
        other = Dim.of(other)
        terms = dict(self.terms)
        for name, factor in other.terms:
            terms[name] = terms.get(name, 0) + sign * factor
        return Dim(self.const + sign * other.const, _sorted_terms(terms))

    def __add__(self, other: int | Dim) -> Dim:
        return self._combine(other, 1)

    def __sub__(self, other: int | Dim) -> Dim:
        return self._combine(other, -1)

    def __mul__(self, other: int | Dim) -> Dim:
        other = Dim.of(other)
        linear, scale = (self, other) if other.is_const else (other, self)
        assert scale.is_const, f"{self} * {other} is not linear"
        factor = scale.const
        return Dim(linear.const * factor, _sorted_terms({n: f * factor for n, f in linear.terms}))

    __radd__ = __add__
    __rmul__ = __mul__

    def to_json(self) -> dict[str, int]:
        """The form artifacts store: symbol to coefficient, the constant under ``""``."""
        constant = {"": self.const} if self.const or not self.terms else {}
        return constant | dict(self.terms)

    def __str__(self) -> str:
        parts = [name if f == 1 else f"{f}*{name}" for name, f in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return "+".join(parts).replace("+-", "-")


def _sorted_terms(terms: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, factor) for name, factor in terms.items() if factor))


_TERM = re.compile(r"([+-]?)\s*(?:(\d+)\s*\*\s*)?(\d+|[A-Za-z]\w*)\s*")


def _parse_dim(text: str) -> Dim:
    total, at = Dim(), 0
    while at < len(text):
        match = _TERM.match(text, at)
        assert match, f"not a dimension: {text!r}"
        sign, factor, atom = match.groups()
        term = Dim(int(atom)) if atom.isdigit() else Dim(0, ((atom, 1),))
        total += term * (int(factor or 1) * (-1 if sign == "-" else 1))
        at = match.end()
    return total


@dataclass(frozen=True)
class TensorType:
    """Shape and element type of a value; prints as ``bf16[T, 4096]``."""

    shape: tuple[Dim, ...]
    dtype: DType

    @staticmethod
    def of(dtype: DType | str, *shape: int | str | Dim) -> TensorType:
        """``TensorType.of("bf16", "T", 4096)``."""
        return TensorType(tuple(Dim.of(d) for d in shape), DType(dtype))

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def numel(self) -> Dim:
        """Number of elements; at most one dimension may be symbolic."""
        constant = prod(int(d) for d in self.shape if d.is_const)
        symbolic = [d for d in self.shape if not d.is_const]
        assert len(symbolic) <= 1, f"{self} has more than one symbolic dimension"
        return (symbolic[0] if symbolic else Dim(1)) * constant

    def num_bytes(self) -> Dim:
        """Bytes of the value laid out densely."""
        return self.numel() * self.dtype.itemsize

    def concrete(self, symbols: Mapping[str, int]) -> tuple[int, ...]:
        """The shape under ``symbols``."""
        return tuple(d.evaluate(symbols) for d in self.shape)

    def with_shape(self, *shape: int | str | Dim) -> TensorType:
        """The same dtype with another shape."""
        return TensorType.of(self.dtype, *shape)

    def with_dtype(self, dtype: DType | str) -> TensorType:
        """The same shape with another dtype."""
        return TensorType(self.shape, DType(dtype))

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(str(d) for d in self.shape)}]"
