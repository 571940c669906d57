"""Requests to an ASGI app without a network between."""

import asyncio
from typing import Any, NamedTuple

from ..gate import App, Message


class Response(NamedTuple):
    """A whole response."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    request_id: str  # the app's own name for the request


async def post(app: App, path: str, body: bytes) -> Response:
    """Sends JSON, and stays until it is answered."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
        "server": None,
        "state": {},
    }
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])
    status, headers, chunks = 500, {}, []

    async def receive() -> Message:
        for message in messages:
            return message
        return await asyncio.Future()  # the client never leaves

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], dict(message["headers"])
        else:
            chunks.append(message.get("body", b""))

    await app(scope, receive, send)
    return Response(status, headers, b"".join(chunks), scope["state"]["request_id"])
