"""Text back to modules: the inverse of `printer`. Tests are written in this text."""

from __future__ import annotations

import json
import re
from typing import Any

from .graph import Function, Module, Node, Value
from .ops import record_of
from .types import Dim, DType, TensorType
from .weights import STEPS, Step, Weight

_TOKEN = re.compile(
    r"""\s+|(?P<comment>\#[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+\.?\d*(?:[eE][-+]?\d+)?
    |-?Infinity|NaN)|(?P<name>[%@]?[A-Za-z_][\w.]*(?:/\d+)?)|(?P<dim><[^>]*>)|(?P<mark>[()\[\]{},:=*+-])""",
    re.VERBOSE,
)
_WORDS = {"none": None, "true": True, "false": False}
_DTYPES = {dtype.value: dtype for dtype in DType}


class ParseError(ValueError):
    """Text that is no IR; the message gives the line."""


class _Reader:
    """Tokens of a text, one at a time."""

    def __init__(self, text: str):
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match:
                raise ParseError(f"line {text.count(chr(10), 0, at) + 1}: {text[at : at + 20]!r}")
            if match.lastgroup and match.lastgroup != "comment":
                self.tokens.append((match.lastgroup, match[0], text.count("\n", 0, at) + 1))
            at = match.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def next(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise ParseError("the text ends too early")
        kind, text, _ = self.tokens[self.at]
        self.at += 1
        return kind, text

    def accept(self, text: str) -> bool:
        found = self.peek() == text
        self.at += found
        return found

    def expect(self, text: str) -> None:
        line = self.tokens[min(self.at, len(self.tokens) - 1)][2]
        if not self.accept(text):
            raise ParseError(f"line {line}: {text!r} wanted, {self.peek()!r} found")

    def list_until(self, close: str, item: Any) -> list[Any]:
        items = []
        while not self.accept(close):
            items.append(item())
            if self.peek() != close:
                self.expect(",")
        return items


class _Parser(_Reader):
    """Recursive descent over the tokens."""

    def literal(self) -> Any:
        kind, text = self.next()
        if text == "[":
            return tuple(self.list_until("]", self.literal))
        if kind == "dim":
            return Dim.of(text[1:-1])
        if kind in ("string", "number"):
            return json.loads(text)
        return _WORDS[text] if text in _WORDS else _DTYPES[text]

    def attrs(self) -> dict[str, Any]:
        return dict(self.list_until("}", self.attr)) if self.accept("{") else {}

    def attr(self) -> tuple[str, Any]:
        _, name = self.next()
        self.expect("=")
        return name, self.literal()

    def dim(self) -> Dim:
        text = ""
        while self.peek() not in (",", "]"):
            text += self.next()[1]
        return Dim.of(text)

    def type(self) -> TensorType:
        _, name = self.next()
        self.expect("[")
        return TensorType(tuple(self.list_until("]", self.dim)), _DTYPES[name])

    def typed(self) -> Value:
        _, name = self.next()
        self.expect(":")
        return Value(name[1:], self.type())

    def step(self) -> Step:
        _, op = self.next()
        self.expect("(")
        inputs: list[Step] = []
        arguments: list[Any] = []

        def item() -> None:
            if self.peek() in STEPS:
                inputs.append(self.step())
            else:
                arguments.append(self.literal())

        self.list_until(")", item)
        return Step(op, tuple(inputs), tuple(arguments))

    def weight(self) -> Weight:
        _, name = self.next()
        type = self.type()
        count = int(self.next()[1]) if self.accept("for") else None
        self.expect("=")
        return Weight(name[1:], type, self.step(), count)

    def node(self, scope: dict[str, Value]) -> Node:
        results = [self.typed()]
        while self.accept(","):
            results.append(self.typed())
        self.expect("=")
        _, op = self.next()
        self.expect("(")
        operands = self.list_until(")", lambda: self.reference(scope))
        scope |= {value.name: value for value in results}
        attrs = record_of(op).complete(self.attrs())
        return Node(op, tuple(operands), attrs, tuple(results))

    def reference(self, scope: dict[str, Value]) -> Value:
        _, name = self.next()
        if name[1:] not in scope:
            raise ParseError(f"{name} is used before it is defined")
        return scope[name[1:]]

    def function(self) -> Function:
        _, name = self.next()
        self.expect("(")
        params = self.list_until(")", self.typed)
        attrs = self.attrs() if self.tokens[self.at + 1][0] == "name" and self._is_attrs() else {}
        scope, nodes = {value.name: value for value in params}, []
        self.expect("{")
        while not self.accept("return"):
            nodes.append(self.node(scope))
        results = self.list_until("}", lambda: self.reference(scope))
        return Function(name[1:], tuple(params), tuple(nodes), tuple(results), attrs)

    def _is_attrs(self) -> bool:
        return self.tokens[self.at + 2][1] == "="


def parse_function(text: str) -> Function:
    """One function: ``func @name(...) {...}``."""
    parser = _Parser(text)
    parser.next()
    return parser.function()


def parse_module(text: str) -> Module:
    """A module; ParseError on anything else."""
    parser = _Parser(text)
    for word in ("module", "level", "="):
        parser.expect(word)
    _, level = parser.next()
    attrs, weights, functions, entries = parser.attrs(), {}, {}, []
    while parser.peek():
        _, kind = parser.next()
        if kind == "weight":
            weight = parser.weight()
            weights[weight.name] = weight
            continue
        if kind not in ("entry", "func"):
            raise ParseError(f"weight, entry or func wanted, {kind!r} found")
        function = parser.function()
        functions[function.name] = function
        entries += [function.name] if kind == "entry" else []
    return Module(functions, tuple(entries), weights, level, attrs)
