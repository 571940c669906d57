"""Grammars that hold an answer to the form of tool calls, and to a schema behind thoughts.

Markers that the tokenizer has tokens for are written as these tokens, everything else as text.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..errors import InputError
from ..runtime.grammars.params import StructuredOutputsParams
from ..runtime.grammars.schema import check_schema
from ..runtime.grammars.sources import lark_text
from .parsers.base import CallFormat
from .parsers.thinking import CLOSING, OPENING
from .schemas.tools import Function

_ANY_OBJECT: dict[str, Any] = {"type": "object"}
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
_THOUGHTS = r"THOUGHTS: /(?s:.*)/ & ~/(?s:.*)<\/think>(?s:.*)/"
_MARKER = re.compile(r"(</?[a-z_]+>|<\|[a-z_]+\|>|\[[A-Z_]+\])")

TokenOf = Callable[[str], int | None]
"""The token that a marker is, if it is one by itself."""


class Calls(NamedTuple):
    """The calls that an answer may have."""

    call_format: CallFormat
    functions: Sequence[Function]
    must_come: bool = False
    may_repeat: bool = True


class GrammarWriter:
    """Writes for one model; `token_of` knows its tokenizer."""

    def __init__(self, token_of: TokenOf) -> None:
        self._token_of = token_of

    def thoughts(self, is_open: bool) -> str:
        """What the model may think first: up to the closing tag, or nothing; if the prompt has
        opened them, they have to be closed. Only tags that are tokens end a text for sure: without
        them there are no thoughts."""
        if self._token_of(OPENING) is None or self._token_of(CLOSING) is None:
            return ""
        closed = rf"THOUGHTS {self._marked(CLOSING)} /\s*/"
        return f"({closed})" if is_open else f"({self._marked(OPENING)} {closed})?"

    def answer(
        self, thoughts: str, calls: Calls | None, schema: dict[str, Any] | None
    ) -> StructuredOutputsParams:
        """Thoughts, then calls, or else JSON of the schema, or else text in which whatever opens a
        call is one. Raises InputError for a schema that cannot be enforced."""
        rules, schemas = [_THOUGHTS], dict[str, dict[str, Any]]()
        kinds = ["@answer"] if schema is not None else []
        if schema is not None:
            schemas["answer"] = schema
        if calls is not None:
            rules += self._calls_rules(calls)
            schemas |= {f"arguments_{i}": _schema_of(f) for i, f in enumerate(calls.functions)}
            kinds = ["calls"] if calls.must_come else ["calls", *kinds]
        if calls is not None and kinds == ["calls"] and not calls.must_come:
            rules.append(_text_rule(calls.call_format))
            kinds = ["calls", "TEXT"] if calls.call_format.begins_bare else ["TEXT (calls TEXT)?"]
        rules.append(f"start: {thoughts} ({' | '.join(kinds)})")
        return StructuredOutputsParams(grammar="\n".join(rules), schemas=schemas)

    def _calls_rules(self, calls: Calls) -> list[str]:
        wording = calls.call_format.wording
        assert wording is not None, "calls in this format cannot be asked for"
        first, last, between = map(self._marked, (wording.first, wording.last, wording.between))
        more = f"({between} call)*" if calls.may_repeat else ""
        names = [f"call_{i}" for i in range(len(calls.functions))]
        rules = [f"calls: {first} call {more} {last}", f"call: {' | '.join(names)}"]
        for i, function in enumerate(calls.functions):
            before = self._marked(wording.call.format(name=function.name))
            rules.append(f"call_{i}: {before} @arguments_{i} {self._marked(wording.call_end)}")
        return rules

    def _marked(self, text: str) -> str:
        """A text as terms of Lark's notation."""
        return " ".join(self._term(part) for part in _MARKER.split(text) if part)

    def _term(self, part: str) -> str:
        token_id = self._token_of(part) if _MARKER.fullmatch(part) else None
        return lark_text(part) if token_id is None else f"<[{token_id}]>"


def _text_rule(call_format: CallFormat) -> str:
    """Text that opens no call."""
    opening = re.escape(call_format.opening).replace("/", r"\/")
    rule = rf"TEXT: /(?s:.*)/ & ~/(?s:.*){opening}(?s:.*)/"
    return rule + r" & ~/\s*\{(?s:.*)/" if call_format.begins_bare else rule


def _schema_of(function: Function) -> dict[str, Any]:
    """What the arguments are held to: where they need not match, a schema that cannot be enforced
    gives way to any object. Raises InputError."""
    schema = function.parameters
    if schema is None:
        return _NO_ARGUMENTS
    try:
        check_schema(json.loads(json.dumps(schema)), f"tools.{function.name}.parameters")
    except InputError:
        if function.strict:
            raise
        return _ANY_OBJECT
    return schema
