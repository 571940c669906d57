"""Prints the scalar expressions of elementwise op records in the language of a target."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class ScalarPrinter:
    """How a language writes a number, and what it calls a function of the records."""

    number: Callable[[float], str]
    function: Callable[[str], str]

    def text(self, scalar: str, operands: Mapping[str, str]) -> str:
        """``a / (1.0 + exp(-a))`` with ``a`` read from the variable ``operands["a"]``."""
        return self._print(ast.parse(scalar, mode="eval").body, operands)

    def _print(self, node: ast.expr, operands: Mapping[str, str]) -> str:
        match node:
            case ast.Name(id=name):
                return operands[name]
            case ast.Constant(value=value):
                return self.number(float(value))  # type: ignore[arg-type]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"-{self._print(operand, operands)}"
            case ast.BinOp(left=left, op=op, right=right):
                return self._infix(left, op, right, operands)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._infix(left, op, right, operands)
            case ast.Call(func=ast.Name(id=name), args=args):
                printed = ", ".join(self._print(argument, operands) for argument in args)
                return f"{self.function(name)}({printed})"
        raise AssertionError(f"no way to print {ast.unparse(node)}")

    def _infix(
        self, left: ast.expr, op: ast.AST, right: ast.expr, operands: Mapping[str, str]
    ) -> str:
        first, second = self._print(left, operands), self._print(right, operands)
        return f"({first} {_OPERATORS[type(op)]} {second})"
