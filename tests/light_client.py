"""A client of few microseconds: hundreds of requests at a time leave the cores to the server."""

import asyncio
import json
import time
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float

    def json(self):
        return json.loads(self.body)

    def events(self):
        """The data of an event stream; the text [DONE] as it is."""
        lines = self.body.decode().split("\n\n")
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [entry if entry == "[DONE]" else json.loads(entry) for entry in data]


class Connection:
    """One connection, kept alive from request to request; one at a time."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").split(":")
        self._address, self._streams = (host, int(port)), None

    async def post(self, path, body, headers=""):
        """Sends JSON, or bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\ncontent-length: {len(content)}\r\n{headers}\r\n"
        return await self.send(head.encode() + content)

    async def send(self, data):
        """Sends a whole request and reads its answer; connects anew where it has to."""
        started_s = time.monotonic()
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=1 << 24)
        reader, writer = self._streams
        try:
            writer.write(data)
            status, headers, body = await _read(reader)
        except (OSError, EOFError):
            self.close()
            raise
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, headers, body, time.monotonic() - started_s)

    def close(self):
        """Leaves at once."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in head[1:] if line)
    headers = {name.lower(): value for name, _, value in pairs}
    status = int(head[0].split()[1])
    if "content-length" in headers:
        return status, headers, await reader.readexactly(int(headers["content-length"]))
    chunks = []
    while size := int(await reader.readline(), 16):
        chunks.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return status, headers, b"".join(chunks)
