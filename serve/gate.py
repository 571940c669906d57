"""What every request passes: its key, the bounds of its body, a look whether it is still there.

A client that leaves ends what it asked for, at any stage.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import ExitStack
from time import monotonic, time_ns
from typing import Any
from uuid import uuid4

from .api_errors import ApiError, error_response
from .api_keys import ApiKeys
from .front import Front
from .options import read_api_keys

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_TO_ALL = "/live"
GENERATES = {"/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages"}
_QUIET = {"/live", "/ready", "/health", "/metrics", "/playground/load"}

_CLIENT_LEFT = 499  # as nginx logs it

_log = logging.getLogger(__name__)


class _Left(Exception):
    """The client has left before its request was whole."""


class Gate:
    """Wraps the app; `scope["state"]` then has `request_id`, `started_s`, `tenant`, `exits` and
    `notes`.

    `exits` is closed when the request is over, however it ends; `notes` go into its log line.
    """

    def __init__(self, app: App, front: Front) -> None:
        self._app, self._front, self._options = app, front, front.options
        self._keys = ApiKeys(read_api_keys(front.options))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s, status = monotonic(), _CLIENT_LEFT

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        state = scope.setdefault("state", {})
        state |= {"request_id": uuid4().hex, "started_s": started_s}
        state |= {"exits": ExitStack(), "notes": {}}
        try:
            await self._pass(scope, receive, noting)
        except _Left:
            status = _CLIENT_LEFT  # for the log: nobody is there to be answered
        except ApiError as error:
            await error_response(error, scope["path"])(scope, receive, noting)
        finally:
            state["exits"].close()
            self._note(scope, status, monotonic() - started_s)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        tenant = self._keys.tenant(scope["headers"])
        if tenant is None and scope["path"] != OPEN_TO_ALL:
            raise ApiError(
                401,
                "the API key is missing or wrong",
                kind="authentication_error",
                code="invalid_api_key",
            )
        scope["state"]["tenant"] = tenant or ""
        if scope["method"] == "POST" and scope["path"] in GENERATES:
            # Before anything is read: a crowd that is turned away costs next to nothing.
            self._front.let_in(tenant or "", scope["state"]["exits"])
        body = await self._read(scope, receive)
        await _while_there(self._app, scope, body, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises ApiError if it is too long or too slow."""
        most, timeout_s = self._options.max_body_bytes, self._options.read_timeout_s
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told[:20]) > most:
            raise _too_long(most)
        chunks, num_bytes, has_more = [], 0, True
        try:
            async with asyncio.timeout(timeout_s):
                while has_more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Left
                    chunks.append(message.get("body", b""))
                    has_more = message.get("more_body", False)
                    num_bytes += len(chunks[-1])
                    if num_bytes > most:
                        raise _too_long(most)
        except TimeoutError:
            raise ApiError(
                408, f"the body did not come within {timeout_s:g} s", code="body_timeout"
            ) from None
        return b"".join(chunks)

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        """The request's line in the log, and its span."""
        state, path = scope["state"], scope["path"]
        facts = {
            "request_id": state["request_id"],
            "method": scope["method"],
            "path": path[:100],
            "status": status,
            "took_s": round(took_s, 6),
            **state["notes"],
        }
        is_quiet = status in (429, 503) or path in _QUIET
        _log.log(logging.DEBUG if is_quiet else logging.INFO, "request", extra=facts)
        if self._front.tracing is not None and not is_quiet:
            end_ns = time_ns()
            self._front.tracing.record(scope, facts, end_ns - int(took_s * 1e9), end_ns)


async def _while_there(app: App, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Runs the app, and ends it when the client leaves."""
    task, has_left = asyncio.current_task(), False
    assert task is not None, "an app runs in a task"
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        for message in messages:
            return message
        return await asyncio.Future()

    async def watch() -> None:
        nonlocal has_left
        while (await receive())["type"] != "http.disconnect":
            pass
        has_left = True
        task.cancel()

    watcher = asyncio.ensure_future(watch())
    try:
        await app(scope, replay, send)
    except asyncio.CancelledError:
        if not has_left:
            raise
        task.uncancel()
    finally:
        watcher.cancel()


def _too_long(most: int) -> ApiError:
    return ApiError(
        413, f"the body has more than max_body_bytes={most}; send less", code="body_too_long"
    )
