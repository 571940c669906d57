"""The OpenAPI document of routes whose bodies are msgspec's records."""

from typing import Any

import msgspec

from ..api_errors import ErrorBody

_PLACE = "#/components/schemas/{name}"
_REFUSALS = {
    400: "The request cannot be used.",
    401: "The API key is missing or wrong.",
    404: "The model is not served here.",
    408: "The request took too long.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    429: "The API key has too many requests.",
    503: "The queue is full, or the engine is being started.",
}
_described: list[type[msgspec.Struct]] = [ErrorBody]


def described(
    asked: type[msgspec.Struct] | None, answer: type[msgspec.Struct], is_stream: bool = False
) -> dict[str, Any]:
    """Arguments for a route that reads one record and answers with another."""
    content = {"application/json": {"schema": _schema(answer)}}
    if is_stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    responses: dict[int | str, Any] = {200: {"description": "The answer.", "content": content}}
    for status, meaning in _REFUSALS.items():
        schema = {"application/json": {"schema": _schema(ErrorBody)}}
        responses[status] = {"description": meaning, "content": schema}
    extra: dict[str, Any] = {}
    if asked is not None:
        schema = {"application/json": {"schema": _schema(asked)}}
        extra = {"requestBody": {"required": True, "content": schema}}
    return {"responses": responses, "openapi_extra": extra, "response_model": None}


def components() -> dict[str, Any]:
    """The schemas of all records that routes have been described with."""
    _, schemas = msgspec.json.schema_components(_described, ref_template=_PLACE)
    return dict(schemas)


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    if kind not in _described:
        _described.append(kind)
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_PLACE)
    return schema
