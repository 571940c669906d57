"""What an answer has to match: OpenAI's `response_format` and vLLM's `structured_outputs`."""

from typing import Any, Literal

import msgspec

from ...runtime.grammars.params import StructuredOutputsParams
from ..api_errors import ApiError


class JsonSchema(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A named JSON schema; it is enforced whatever `strict` says."""

    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Text, any JSON object, or what a schema describes."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """vLLM's words for the same, and for other kinds of constraints."""

    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_fallback: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None


def constraint(
    response_format: ResponseFormat | None, structured_outputs: StructuredOutputs | None
) -> StructuredOutputsParams | None:
    """The one constraint that both together ask for. Raises ApiError and InputError."""
    of_format = _of_format(response_format) if response_format is not None else None
    if structured_outputs is None:
        return of_format
    if of_format is not None:
        raise ApiError(
            400,
            "response_format and structured_outputs both constrain the answer; give one",
            param="structured_outputs",
        )
    return StructuredOutputsParams(**msgspec.structs.asdict(structured_outputs))


def _of_format(asked: ResponseFormat) -> StructuredOutputsParams | None:
    if asked.type == "text":
        return None
    if asked.type == "json_object":
        return StructuredOutputsParams(json_object=True)
    if asked.json_schema is None:
        raise ApiError(
            400,
            "response_format of type=json_schema has no json_schema; give one",
            param="response_format",
        )
    return StructuredOutputsParams(json=asked.json_schema.schema or {})
