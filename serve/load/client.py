"""One request to a server, and when which piece of its answer came."""

from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import aiohttp
import msgspec

from ...errors import InputError, TapeoutError

_LINE_BYTES = 1 << 22
_PATHS = {"completions": "/completions", "chat": "/chat/completions"}
_TEXTS = ("content", "reasoning_content", "reasoning", "tool_calls")


class Sample(msgspec.Struct, kw_only=True):
    """A request as its client saw it; times in seconds from the start of the measurement."""

    begun_s: float  # when it was to be sent: a client that is late counts it as the server's time
    late_s: float = 0.0  # by how much it was sent later
    ended_s: float = 0.0
    pieces_s: list[float] = []  # when each piece of the output came
    num_prompt_tokens: int = 0
    num_output_tokens: int = 0
    error: str | None = None  # its kind

    @property
    def ttft_s(self) -> float:
        """Time to the first token."""
        return self.pieces_s[0] - self.begun_s

    @property
    def e2e_s(self) -> float:
        """Time to the last token."""
        return self.pieces_s[-1] - self.begun_s

    @property
    def tpot_s(self) -> float | None:
        """Mean time of a token after the first; None where there is none."""
        if self.num_output_tokens < 2:
            return None
        return (self.pieces_s[-1] - self.pieces_s[0]) / (self.num_output_tokens - 1)


class _Failed(Exception):
    """Of a kind that is counted."""


class Client:
    """Connections to one server, as many as are needed at a time."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float) -> None:
        headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        self._base_url = base_url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            read_bufsize=_LINE_BYTES,
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def first_model(self) -> str:
        """The name that the server lists first. Raises TapeoutError if it lists none."""
        url = f"{self._base_url}/models"
        try:
            async with self._session.get(url) as answer:
                listed = await answer.read()
            name = msgspec.json.decode(listed)["data"][0]["id"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise InputError(f"url={url} does not answer: {error}; is it served there?") from None
        except (msgspec.DecodeError, LookupError, TypeError):
            raise TapeoutError(f"{url} lists no model: {listed[:200]!r}; name one") from None
        return str(name)

    async def ask(
        self, endpoint: str, body: dict[str, Any], sample: Sample, start_s: float
    ) -> Sample:
        """Sends a request and notes in `sample` what comes; never raises for what fails."""
        try:
            async with self._session.post(self._base_url + _PATHS[endpoint], json=body) as answer:
                if answer.status != 200:
                    raise _Failed(f"{answer.status} {_code(await answer.read())}".strip())
                await self._read(answer, sample, start_s)
            if not sample.pieces_s:
                raise _Failed("no output")
        except _Failed as error:
            sample.error = str(error)
        except TimeoutError:
            sample.error = "timeout"
        except aiohttp.ClientConnectorError:
            sample.error = "no connection"
        except (aiohttp.ClientError, OSError):
            sample.error = "connection lost"
        sample.ended_s = perf_counter() - start_s
        return sample

    async def _read(self, answer: aiohttp.ClientResponse, sample: Sample, start_s: float) -> None:
        sample.pieces_s = []
        async for event in _events(answer):
            if "error" in event:
                raise _Failed(f"in stream: {_code(msgspec.json.encode(event))}".strip())
            if usage := event.get("usage"):
                sample.num_prompt_tokens = usage["prompt_tokens"]
                sample.num_output_tokens = usage["completion_tokens"]
            if any(_has_output(choice) for choice in event.get("choices", ())):
                sample.pieces_s.append(perf_counter() - start_s)
        # A server that tells no usage: it may send several tokens in a piece, but few do.
        sample.num_output_tokens = sample.num_output_tokens or len(sample.pieces_s)


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """What a stream says, up to its end."""
    async for line in answer.content:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        try:
            yield msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError:
            raise _Failed("in stream: no JSON") from None
    raise _Failed("in stream: cut off")


def _has_output(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(
        choice.get("text")
        or any(delta.get(name) for name in _TEXTS)
        or choice.get("finish_reason")  # the last token may have no text
    )


def _code(body: bytes) -> str:
    """The kind of an error in OpenAI's shape."""
    try:
        error = msgspec.json.decode(body)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        return ""
