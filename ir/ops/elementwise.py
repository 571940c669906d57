"""Elementwise ops. Each is its scalar expression: reference and emitted code both come from it.

An expression is written in Python over the operands ``a``, ``b``, ``c`` with the functions of
`FUNCTIONS`. Floats compute in f32 and round once, at the result. Operands broadcast under numpy's
rules; operands of rank 0 are converted to the others' dtype, which must agree.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..types import DType, TensorType
from .base import (
    REQUIRED,
    Attrs,
    Kind,
    OpRecord,
    broadcast,
    compute_type,
    flops_per_result,
    register,
)
from .dtypes import to_torch

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": torch.abs,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "floor": torch.floor,
    "log": torch.log,
    "max": torch.maximum,
    "min": torch.minimum,
    "pow": torch.pow,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "where": torch.where,
}
"""Functions an expression may call; an emitter must know each."""

_GELU_TANH = "0.5 * a * (1.0 + tanh(0.7978845608028654 * (a + 0.044715 * a * a * a)))"

_FLOAT: dict[str, tuple[str, str]] = {
    "add": ("a + b", "a + b"),
    "sub": ("a - b", "a - b"),
    "mul": ("a * b", "a times b"),
    "div": ("a / b", "a over b"),
    "pow": ("pow(a, b)", "a to the power b"),
    "max": ("max(a, b)", "the larger of a and b"),
    "min": ("min(a, b)", "the smaller of a and b"),
    "neg": ("-a", "minus a"),
    "abs": ("abs(a)", "the magnitude of a"),
    "floor": ("floor(a)", "a rounded down"),
    "exp": ("exp(a)", "e to the power a"),
    "log": ("log(a)", "natural logarithm"),
    "sqrt": ("sqrt(a)", "square root"),
    "rsqrt": ("rsqrt(a)", "one over the square root"),
    "cos": ("cos(a)", "cosine of a in radians"),
    "sin": ("sin(a)", "sine of a in radians"),
    "tanh": ("tanh(a)", "hyperbolic tangent"),
    "erf": ("erf(a)", "error function"),
    "sigmoid": ("1.0 / (1.0 + exp(-a))", "logistic function"),
    "silu": ("a / (1.0 + exp(-a))", "a times its sigmoid (swish)"),
    "relu": ("max(a, 0.0)", "a where positive, else 0"),
    "gelu": ("0.5 * a * (1.0 + erf(0.7071067811865476 * a))", "Gaussian error linear unit"),
    "gelu_tanh": (_GELU_TANH, "the tanh approximation of gelu"),
}

_COMPARISON: dict[str, tuple[str, str]] = {
    "less": ("a < b", "true where a < b"),
    "less_equal": ("a <= b", "true where a <= b"),
    "equal": ("a == b", "true where a == b"),
}


def operand_names(scalar: str) -> tuple[str, ...]:
    """Names of the operands that an expression reads, in order."""
    names = {n.id for n in ast.walk(ast.parse(scalar)) if isinstance(n, ast.Name)}
    return tuple(sorted(names - set(FUNCTIONS)))


def evaluate(scalar: str, operands: Sequence[torch.Tensor]) -> torch.Tensor:
    """Compute an expression on tensors, in f32 for floats."""
    values = zip("abc", map(compute_type, operands), strict=False)
    scope = {**FUNCTIONS, "max": _maximum, "min": _minimum, **dict(values)}
    result = eval(scalar, {"__builtins__": {}}, scope)  # our own text, from a record
    assert isinstance(result, torch.Tensor)
    return result


def _maximum(a: torch.Tensor, b: torch.Tensor | float) -> torch.Tensor:
    return torch.maximum(a, torch.as_tensor(b, dtype=a.dtype))


def _minimum(a: torch.Tensor, b: torch.Tensor | float) -> torch.Tensor:
    return torch.minimum(a, torch.as_tensor(b, dtype=a.dtype))


def common_dtype(types: Sequence[TensorType]) -> DType:
    """The dtype of operands with a shape, or of the first when all have rank 0."""
    shaped = {t.dtype for t in types if t.rank} or {types[0].dtype}
    assert len(shaped) == 1, f"dtypes differ: {[str(t) for t in types]}"
    return shaped.pop()


def _infer_same(types: Sequence[TensorType], _: Attrs) -> tuple[TensorType, ...]:
    return (TensorType(broadcast([t.shape for t in types]), common_dtype(types)),)


def _infer_bool(types: Sequence[TensorType], _: Attrs) -> tuple[TensorType, ...]:
    common_dtype(types)
    return (TensorType(broadcast([t.shape for t in types]), DType.BOOL),)


def _infer_where(types: Sequence[TensorType], _: Attrs) -> tuple[TensorType, ...]:
    assert types[0].dtype is DType.BOOL, f"where needs a bool condition, not {types[0]}"
    return (TensorType(broadcast([t.shape for t in types]), common_dtype(types[1:])),)


def _infer_cast(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    return (types[0].with_dtype(attrs["dtype"]),)


def _reference(scalar: str, choose: Callable[[Sequence[torch.Tensor]], torch.dtype]) -> Any:
    def reference(operands: Sequence[torch.Tensor], _: Attrs) -> tuple[torch.Tensor, ...]:
        return (evaluate(scalar, operands).to(choose(operands)),)

    return reference


def _first_shaped(operands: Sequence[torch.Tensor]) -> torch.dtype:
    return next((x.dtype for x in operands if x.dim()), operands[0].dtype)


def _define(name: str, scalar: str, doc: str, infer: Any, choose: Any) -> None:
    names, reference = operand_names(scalar), _reference(scalar, choose)
    register(
        OpRecord(
            name, doc, Kind.ELEMENTWISE, names, infer, reference, flops_per_result(1), scalar=scalar
        )
    )


for _name, (_scalar, _doc) in _FLOAT.items():
    _define(_name, _scalar, _doc, _infer_same, _first_shaped)
for _name, (_scalar, _doc) in _COMPARISON.items():
    _define(_name, _scalar, _doc, _infer_bool, lambda _: torch.bool)
_define(
    "where",
    "where(a, b, c)",
    "b where a holds, else c",
    _infer_where,
    lambda x: _first_shaped(x[1:]),
)

register(
    OpRecord(
        "cast",
        "x rounded to dtype, to nearest even",
        Kind.ELEMENTWISE,
        ("a",),
        _infer_cast,
        lambda operands, attrs: (operands[0].to(to_torch(attrs["dtype"])),),
        flops_per_result(0),
        {"dtype": REQUIRED},
        scalar="a",
    )
)
