"""Answers that come piece by piece: server-sent events, written as bytes that are ready to go."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import TapeoutError
from .api_errors import ApiError, as_api_error, error_body

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
_log = logging.getLogger(__name__)

encode = msgspec.json.Encoder().encode


def data_event(value: Any) -> bytes:
    """A record as one event without a name."""
    return b"data: " + encode(value) + b"\n\n"


def named_event(name: str, value: Any) -> bytes:
    """A record as one event with a name."""
    return b"event: " + name.encode() + b"\n" + data_event(value)


class EventStream(Response):
    """Sends events as they come, the headers with the first.

    So what ends the request before that has a status of its own; later, an error is the last event.
    A client that does not take a piece within `write_timeout_s` is given up.
    """

    def __init__(self, events: AsyncIterator[bytes], end: bytes, write_timeout_s: float) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events, self._end, self._write_timeout_s = events, end, write_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        has_begun = False
        try:
            async for event in self._events:
                if not has_begun:
                    has_begun = True
                    await self._begin(send)
                await self._write(send, event)
        except TapeoutError as error:
            if not has_begun:
                raise
            await self._write(send, self.error_event(as_api_error(error)))
        except TimeoutError:
            _log.warning("a client has stopped reading its stream")
            return  # without an end: the connection is closed
        await send({"type": "http.response.body", "body": self._end, "more_body": False})

    def error_event(self, error: ApiError) -> bytes:
        """The last event of a stream that fails."""
        return data_event(error_body(error))

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

    async def _write(self, send: Send, event: bytes) -> None:
        async with asyncio.timeout(self._write_timeout_s):
            await send({"type": "http.response.body", "body": event, "more_body": True})
