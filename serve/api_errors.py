"""What a request is refused with: OpenAI's shape of an error, from our own errors too."""

import re
from typing import Any

import msgspec
from starlette.responses import Response

from ..errors import EngineDeadError, InputError, QueueFullError, TapeoutError

_FIELD = re.compile(r"^([a-z_]+)(?:\[[^\]=]*\])?=")

_NAMES: dict[str | None, str] = {"prompt_token_ids": "prompt"}  # which requests have otherwise

_BROWSERS = 'Basic realm="tapeout: the password is the API key", charset="UTF-8"'


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


def anthropic_body(error: ApiError) -> dict[str, Any]:
    """The same in Anthropic's shape, with its name for the status."""
    kind = _ANTHROPIC_KINDS.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def error_response(error: ApiError, path: str) -> Response:
    """The response, in the shape of the API that the path belongs to."""
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        headers["www-authenticate"] = _BROWSERS if path == "/" else "Bearer"
    is_anthropic = path.startswith("/v1/messages")
    body = anthropic_body(error) if is_anthropic else error_body(error)
    return Response(msgspec.json.encode(body), error.status, headers, "application/json")


_ANTHROPIC_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
