"""Writes what a request asks for in the notations that llguidance reads."""

import json
from typing import Any

from ...errors import InputError, shown
from .guidance import library
from .params import MAX_CHARACTERS, StructuredOutputsParams
from .schema import check_schema
from .tightened import tighten

# A space, or an end of line with an indentation: a model that would go on for ever cannot.
_MAX_LINES = 2000  # each may be a rule in the next one's depth
_WHITESPACE = r"[ \t]|\r?\n[ \t]{0,40}"


def source_of(params: StructuredOutputsParams) -> str:
    """A grammar in one of llguidance's notations. Raises InputError for what is none."""
    if params.kind == "choice":
        return f"start: {' | '.join(map(lark_text, params.choice or ()))}"
    if params.kind == "regex":
        return str(library().LLMatcher.grammar_from_regex(params.regex))
    if params.kind == "grammar":
        return _context_free(params)
    schema = {"type": "object"} if params.json_object else read_schema(params.json)
    check_schema(schema, "structured_outputs.json")
    tighten(schema)
    to_grammar = library().LLMatcher.grammar_from_json_schema
    try:
        return str(to_grammar(json.dumps(schema), overrides=_spacing(params)))
    except ValueError as error:
        raise InputError(f"structured_outputs.json cannot be read: {error}") from None


def lark_text(text: str) -> str:
    """A text as a literal of Lark's notation."""
    return json.dumps(text).replace("\x7f", r"\u007f")


def read_schema(schema: Any) -> Any:
    """A JSON schema as plain data. Raises InputError for what is no JSON, or too long."""
    try:
        text = schema if isinstance(schema, str) else json.dumps(schema, allow_nan=False)
        if len(text) > MAX_CHARACTERS:
            raise InputError(
                f"structured_outputs.json has {len(text)} characters; give at most {MAX_CHARACTERS}"
            )
        schema = json.loads(text, parse_constant=_refuse_constant)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"structured_outputs.json={shown(schema)} is no JSON: {error}") from None
    if schema is not True and not isinstance(schema, dict):
        raise InputError(f"structured_outputs.json={shown(schema)} allows nothing; give an object")
    return {} if schema is True else schema


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _spacing(params: StructuredOutputsParams) -> dict[str, Any]:
    """What may stand between the parts of JSON; it goes before whatever the schema says."""
    # Each text has one spelling alone: by another a property could come that the schema names.
    strict = {"lenient": False, "coerce_one_of": False, "json_allowed_escapes": '"\\bfnrt'}
    if params.disable_any_whitespace:
        return {**strict, "whitespace_flexible": False}
    return {**strict, "whitespace_pattern": params.whitespace_pattern or _WHITESPACE}


def _context_free(params: StructuredOutputsParams) -> str:
    grammar = params.grammar or ""
    num_lines = grammar.count("\n") + 1
    if num_lines > _MAX_LINES:
        raise InputError(
            f"structured_outputs.grammar has {num_lines} lines; give at most {_MAX_LINES}"
        )
    if "%json" in grammar:
        raise InputError("structured_outputs.grammar holds %json; give the schema as json instead")
    try:
        lark = str(library().grammar_from("grammar", grammar))
    except ValueError as error:
        raise InputError(f"structured_outputs.grammar cannot be read: {error}") from None
    if params.schemas is None:
        return lark
    parts: list[dict[str, Any]] = [{"lark_grammar": lark}]
    for name, schema in params.schemas.items():
        plain = read_schema(schema)
        check_schema(plain, f"structured_outputs.schemas.{name}")
        tighten(plain)
        parts.append({"name": name, "json_schema": {**plain, "x-guidance": _spacing(params)}})
    return json.dumps({"grammars": parts})
