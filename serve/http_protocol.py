"""HTTP/1.1 by uvicorn and httptools, with bounds that these do not set.

The head of a request has to come within a time and a size; a connection that keeps neither gets its
error and is closed.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .api_errors import ApiError, error_body


class BoundedProtocol(HttpToolsProtocol):
    """A connection; `max_header_bytes` and `read_timeout_s` are set by `bounded_protocol`."""

    max_header_bytes: int
    read_timeout_s: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._num_head_bytes = 0
        self._is_in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: its first head is due."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, error: Exception | None) -> None:
        """The client has gone."""
        self._stop_timer()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Counts what comes before the head is whole."""
        if self._is_in_head:
            self._num_head_bytes += len(data)
            if self._head_timer is None:  # the first bytes after a pause between two requests
                self._expect_head()
        super().data_received(data)
        if self._is_in_head and self._num_head_bytes > self.max_header_bytes:
            self._refuse(ApiError(431, f"the headers have more than {self.max_header_bytes} bytes"))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_timer()
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole: what comes next is another head."""
        super().on_message_complete()
        self._is_in_head, self._num_head_bytes = True, 0

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.read_timeout_s, self._time_out)

    def _time_out(self) -> None:
        if self._is_answering:  # what has come since, be it a blank line, can wait for its turn
            self._expect_head()
            return
        self._refuse(ApiError(408, f"no request came within {self.read_timeout_s:g} s"))

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(ApiError(400, msg))

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, error: ApiError) -> None:
        """Says so, but not within another answer, and closes the connection."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self._is_answering:
            self.transport.close()
            return
        body = msgspec.json.encode(error_body(error))
        head = (
            f"HTTP/1.1 {error.status} Refused\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def bounded_protocol(max_header_bytes: int, read_timeout_s: float) -> type[BoundedProtocol]:
    """The protocol with these bounds, for uvicorn's config."""
    bounds = {"max_header_bytes": max_header_bytes, "read_timeout_s": read_timeout_s}
    return type("Protocol", (BoundedProtocol,), bounds)
