"""What a request is refused with: OpenAI's shape of an error, from our own errors too."""

import re
from typing import Any

import msgspec
from starlette.responses import Response

from ..errors import EngineDeadError, InputError, QueueFullError, TapeoutError

_FIELD = re.compile(r"^([a-z_]+)(?:\[[^\]=]*\])?=")

_NAMES: dict[str | None, str] = {"prompt_token_ids": "prompt"}  # which requests have otherwise


class ApiError(TapeoutError):
    """Ends a request with a status and a reason that the client can read."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind = status, message, kind
        self.param, self.code, self.retry_after_s = param, code, retry_after_s


class ErrorDetail(msgspec.Struct):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct):
    """OpenAI's envelope of an error."""

    error: ErrorDetail


def as_api_error(error: Exception) -> ApiError:
    """The answer that an error of ours is; anything else is a fault of the server."""
    match error:
        case ApiError():
            return error
        case InputError():
            found = _FIELD.match(str(error))
            field = found[1] if found else None
            return ApiError(400, str(error), param=_NAMES.get(field, field))
        case QueueFullError():
            return ApiError(503, str(error), kind="overloaded_error", code="queue_full")
        case EngineDeadError():
            return ApiError(
                503, str(error), kind="server_error", code="engine_restarted", retry_after_s=1
            )
        case TapeoutError():
            return ApiError(400, str(error))
    return ApiError(500, "the server failed; its log says why", kind="server_error")


def error_body(error: ApiError) -> ErrorBody:
    """What the client reads."""
    return ErrorBody(ErrorDetail(error.message, error.kind, error.param, error.code))


def error_response(error: ApiError, body: Any = None) -> Response:
    """The response, with OpenAI's body if no other is given."""
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    content = msgspec.json.encode(body or error_body(error))
    return Response(content, error.status, headers, "application/json")
