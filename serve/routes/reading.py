"""From the bytes of a request to what is asked of the model."""

from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...runtime.intake import RequestOptions
from ..api_errors import ApiError
from ..front import Front
from ..schemas.sampling import SamplingRequest

T = TypeVar("T", bound=msgspec.Struct)


async def read(request: Request, kind: type[T]) -> T:
    """The body as a record. Raises ApiError that says where it is none."""
    kind_sent = request.headers.get("content-type", "application/json").partition(";")[0]
    if kind_sent.strip().lower() != "application/json":
        raise ApiError(415, f"content-type={kind_sent[:100]!r} is not read; send application/json")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        raise ApiError(400, f"the request cannot be used: {error}", param=_field(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None


def request_options(front: Front, request: Request, asked: SamplingRequest) -> RequestOptions:
    """Who asks, how urgently and until when."""
    return RequestOptions(
        priority=asked.priority or 0,
        tenant=request.scope["state"]["tenant"],
        cache_salt=asked.cache_salt,
        timeout_s=front.options.request_timeout_s,
    )


def json_response(answer: msgspec.Struct) -> Response:
    """A record as the whole answer."""
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _field(error: msgspec.ValidationError) -> str | None:
    """The field of the request that msgspec's message names, as in "... - at `$.n`"."""
    _, found, path = str(error).rpartition("`$.")
    return path.rstrip("`").partition("[")[0].partition(".")[0] if found else None
