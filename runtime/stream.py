"""Outputs of requests on their way from the engine's thread to the tasks of an event loop."""

import asyncio
from collections.abc import Sequence
from threading import Lock

from ..errors import TapeoutError
from .generation import Generation
from .outputs import RequestOutput
from .sampling_params import RequestOutputKind

Delivery = RequestOutput | TapeoutError


class Mailbox:
    """What one event loop has to be told: it is woken once for all that has come since.

    However slow it is, no more is kept than one output of each request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.lock = loop, Lock()
        self._ready: dict[Stream, None] = {}  # not empty: the loop is about to be woken

    def put(self, deliveries: Sequence[tuple["Stream", Delivery]]) -> None:
        """Hands these to their streams, from any thread. Raises RuntimeError if the loop is
        closed: nobody will ever take them."""
        with self.lock:
            if self.loop.is_closed():  # perhaps before it was woken for what is ready
                raise RuntimeError("the event loop is closed")
            if not self._ready:
                self.loop.call_soon_threadsafe(self._wake)
            for stream, delivery in deliveries:
                stream.merge(delivery)
                self._ready[stream] = None

    def _wake(self) -> None:
        with self.lock:
            ready, self._ready = self._ready, {}
        for stream in ready:
            stream.wake()


class Stream:
    """The outputs of one request for the one task that takes them."""

    def __init__(self, generation: Generation, mailbox: Mailbox) -> None:
        self.generation, self.mailbox = generation, mailbox
        self.is_done = False  # whether its last output or an error was taken
        self._is_delta = generation.params.output_kind is RequestOutputKind.DELTA
        self._pending: Delivery | None = None
        self._has_come = asyncio.Event()

    async def get(self) -> RequestOutput:
        """What has come since the last one, as one output. Raises what ended the request."""
        while (delivery := self._take()) is None:
            await self._has_come.wait()
            self._has_come.clear()
        self.is_done = isinstance(delivery, TapeoutError) or delivery.finished
        if isinstance(delivery, TapeoutError):
            raise delivery
        return delivery

    def merge(self, delivery: Delivery) -> None:
        """Takes the next output, under the mailbox's lock."""
        earlier = self._pending if self._is_delta else None
        if isinstance(earlier, RequestOutput) and isinstance(delivery, RequestOutput):
            delivery = earlier.extended(delivery)
        self._pending = delivery

    def wake(self) -> None:
        """Lets the task go on, in its event loop."""
        self._has_come.set()

    def _take(self) -> Delivery | None:
        with self.mailbox.lock:
            delivery, self._pending = self._pending, None
        return delivery
