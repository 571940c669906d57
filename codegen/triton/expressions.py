"""Prints the scalar expressions of elementwise op records as Triton over tiles of floats."""

from __future__ import annotations

import ast
from collections.abc import Mapping

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
}
_NAMES = {
    "max": "tl.maximum",
    "min": "tl.minimum",
    "rsqrt": "tl.rsqrt",
    "tanh": "_tanh",
    "pow": "_pow",
}

HELPERS = {
    "_tanh": '''@triton.jit
def _tanh(x):
    """1 - 2 / (exp(2x) + 1): exact at both ends."""
    return 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0)
''',
    "_pow": '''@triton.jit
def _pow(x, y):
    """x to the power y for positive x."""
    return tl.exp2(tl.log2(x) * y)
''',
}
"""Functions that Triton lacks on both of its back ends."""


def triton_number(value: float) -> str:
    """A float literal."""
    if value != value or value in (float("inf"), float("-inf")):
        return f'float("{value}")'
    return repr(float(value))


def triton_expression(scalar: str, operands: Mapping[str, str]) -> str:
    """``a / (1.0 + exp(-a))`` with ``a`` read from the variable ``operands["a"]``."""
    return _print(ast.parse(scalar, mode="eval").body, operands)


def _print(node: ast.expr, operands: Mapping[str, str]) -> str:
    match node:
        case ast.Name(id=name):
            return operands[name]
        case ast.Constant(value=value):
            return triton_number(float(value))  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"-{_print(operand, operands)}"
        case ast.BinOp(left=left, op=op, right=right):
            return _infix(left, op, right, operands)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _infix(left, op, right, operands)
        case ast.Call(func=ast.Name(id=name), args=args):
            printed = ", ".join(_print(argument, operands) for argument in args)
            return f"{_NAMES.get(name, f'tl.{name}')}({printed})"
    raise AssertionError(f"no Triton for {ast.unparse(node)}")


def _infix(left: ast.expr, op: ast.AST, right: ast.expr, operands: Mapping[str, str]) -> str:
    return f"({_print(left, operands)} {_OPERATORS[type(op)]} {_print(right, operands)})"
