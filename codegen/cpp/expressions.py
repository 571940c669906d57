"""Prints the scalar expressions of elementwise op records as C++ over vectors of floats."""

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
_RENAMED = {"where": "select"}


def cpp_number(value: float) -> str:
    """A float literal broadcast to a vector: ``vf(0.5f)``."""
    if value != value:
        return "vf(NAN)"
    if value in (float("inf"), float("-inf")):
        return "vf(INFINITY)" if value > 0 else "vf(-INFINITY)"
    return f"vf({float(value)!r}f)"


def cpp_expression(scalar: str, operands: Mapping[str, str]) -> str:
    """``a / (1.0 + exp(-a))`` with ``a`` read from the variable ``operands["a"]``."""
    return _print(ast.parse(scalar, mode="eval").body, operands)


def _print(node: ast.expr, operands: Mapping[str, str]) -> str:
    match node:
        case ast.Name(id=name):
            return operands[name]
        case ast.Constant(value=value):
            return cpp_number(float(value))  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"-{_print(operand, operands)}"
        case ast.BinOp(left=left, op=op, right=right):
            return _infix(left, op, right, operands)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _infix(left, op, right, operands)
        case ast.Call(func=ast.Name(id=name), args=args):
            printed = ", ".join(_print(argument, operands) for argument in args)
            return f"{_RENAMED.get(name, name)}({printed})"
    raise AssertionError(f"no C++ for {ast.unparse(node)}")


def _infix(left: ast.expr, op: ast.AST, right: ast.expr, operands: Mapping[str, str]) -> str:
    return f"({_print(left, operands)} {_OPERATORS[type(op)]} {_print(right, operands)})"
