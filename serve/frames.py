"""What crosses between a front and the engine: messages behind their length, of closed schemas.

The engine says Hello on a new connection, and Updates from then on; a front sends Orders.
"""

from collections.abc import Iterator

import msgspec

from ..runtime.edits import ModelBounds
from ..runtime.request import Cancel, Request, StepReport

MAX_MESSAGE_BYTES = 1 << 30
_LENGTH_BYTES = 4


class Hello(msgspec.Struct, frozen=True):
    """Who the front is, and what the engine has loaded."""

    front_id: int  # the first part of every request id that the front makes
    artifact: str  # its folder, where the tokenizer is
    bounds: ModelBounds
    max_num_seqs: int
    enable_prefix_caching: bool
    startup_s: dict[str, float]  # what took how long until the engine was ready
    target: str  # of the artifact's, which it runs


class Orders(msgspec.Struct, frozen=True):
    """What a front wants done; ids that the engine does not know are passed over."""

    requests: list[Request] = []
    cancels: list[Cancel] = []


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine stands; counts go on from its start."""

    num_running: int
    num_waiting: int
    num_kv_pages: int
    num_free_kv_pages: int
    num_steps: int
    num_tokens: int  # that were chosen
    num_preemptions: int


class Update(msgspec.Struct, frozen=True):
    """What a step gave for the requests of one front; `load` is told now and then."""

    report: StepReport | None
    load: Load | None


def framed(message: bytes) -> bytes:
    """A message as it goes over a socket."""
    return len(message).to_bytes(_LENGTH_BYTES, "little") + message


class FrameReader:
    """Cuts what a socket gives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are whole with this. Raises ValueError for one that is too long."""
        self._buffer += data
        start = 0
        while len(self._buffer) >= start + _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[start : start + _LENGTH_BYTES], "little")
            if length > MAX_MESSAGE_BYTES:
                raise ValueError(f"a message of {length} bytes")
            end = start + _LENGTH_BYTES + length
            if len(self._buffer) < end:
                break
            yield bytes(self._buffer[start + _LENGTH_BYTES : end])
            start = end
        del self._buffer[:start]
