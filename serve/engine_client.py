"""The engine as a front sees it: requests go to its process, outputs come back as streams.

The engine may end at any time and come again. What it was doing then is asked anew where the client
has been told nothing yet; else it ends in EngineDeadError.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from time import monotonic

from ..errors import EngineDeadError, TapeoutError
from ..runtime.generation import Generation
from ..runtime.output_processor import OutputProcessor
from ..runtime.outputs import RequestOutput
from ..runtime.request import Cancel, Request
from ..runtime.stream import Mailbox, Stream
from ..runtime.wire import decode, encode
from .frames import FrameReader, Hello, Load, Orders, Update, framed

_RETRY_S = 0.05

_log = logging.getLogger(__name__)

MakeGeneration = Callable[[str], Generation]
"""The generation of a request under this id; may be called once more to ask anew."""


@dataclass(eq=False)
class _Open:
    """A request that is not done."""

    stream: Stream
    make: MakeGeneration
    has_output: bool = False  # so that asking anew would say something twice
    is_second: bool = False  # one that ends two engines may be what ends them


class EngineClient:
    """For the tasks of one event loop; `run` keeps the connection."""

    def __init__(self, address: str, seed: int, on_hello: Callable[[Hello], None]) -> None:
        self._address, self._on_hello = address, on_hello
        self.load: Load | None = None
        self.num_restarts = -1  # how often an engine came after the first
        self._processor = OutputProcessor(seed)
        self.hello: Hello | None = None  # of the engine that is there
        self._transport: asyncio.WriteTransport | None = None
        self._open: dict[str, _Open] = {}
        self._request_ids = count()
        self._mailbox = Mailbox(asyncio.get_running_loop())
        self._orders = Orders([], [])
        self._has_hello, self._lost = asyncio.Event(), asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether an engine is there."""
        return self.hello is not None

    @property
    def num_open(self) -> int:
        """Requests that are not done."""
        return len(self._open)

    async def run(self) -> None:
        """Connects to the engine, and again whenever it is lost."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                transport, _ = await loop.create_unix_connection(
                    lambda: _Connection(self), self._address
                )
            except OSError:
                await asyncio.sleep(_RETRY_S)
                continue
            self._transport = transport
            await self._lost.wait()
            self._lost.clear()

    async def wait_ready(self, timeout_s: float | None) -> None:
        """Waits for an engine, for a while or for as long as it takes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_hello.wait(), timeout_s)

    def open(self, make: MakeGeneration) -> Stream:
        """Sends a request. Raises EngineDeadError while no engine is there."""
        if self.hello is None:
            raise EngineDeadError("the engine is being started; try again soon")
        stream = Stream(self._start(make), self._mailbox)
        self._open[stream.generation.request_id] = _Open(stream, make)
        return stream

    def leave(self, stream: Stream) -> None:
        """The task takes no more: what goes on is aborted."""
        request_id = stream.generation.request_id
        if self._open.pop(request_id, None) is not None:
            self._send(cancels=self._processor.abort(request_id))

    def end(self, stream: Stream, error: TapeoutError) -> None:
        """Ends a request with an error of its own, for raising one changes it; one that is done is
        passed over."""
        if stream.generation.request_id in self._open:
            self.leave(stream)
            self._mailbox.put([(stream, error)])

    def end_all(self, make_error: Callable[[], TapeoutError]) -> None:
        """Ends every request."""
        for entry in list(self._open.values()):
            self.end(entry.stream, make_error())

    # ---- what the connection tells ----

    def connected(self, hello: Hello) -> None:
        """An engine is there: what waited for it is sent."""
        self.hello = hello
        self._has_hello.set()
        self.num_restarts += 1
        self._on_hello(hello)
        waiting, self._open = list(self._open.values()), {}
        for entry in waiting:
            entry.stream.generation = self._start(entry.make)
            self._open[entry.stream.generation.request_id] = entry

    def updated(self, update: Update) -> None:
        """Gives the outputs of a step to those who wait for them."""
        self.load = update.load or self.load
        if update.report is not None:
            outputs, cancels = self._processor.process(update.report)
            self._send(cancels=cancels)
            self._deliver(outputs)

    def disconnected(self) -> None:
        """The engine is lost."""
        _log.warning("engine lost", extra={"num_open": len(self._open)})
        self.hello, self._transport = None, None
        self._has_hello.clear()
        self._orders = Orders([], [])
        self._processor.clear()
        for request_id, entry in list(self._open.items()):
            if entry.has_output or entry.is_second:
                del self._open[request_id]
                error = EngineDeadError("the engine was restarted while it worked on the request")
                self._mailbox.put([(entry.stream, error)])
            entry.is_second = True
        self._lost.set()

    def _start(self, make: MakeGeneration) -> Generation:
        assert self.hello is not None, "an engine is there"
        generation = make(f"{self.hello.front_id}.{next(self._request_ids)}")
        requests = self._processor.add([generation], monotonic())
        self._send(requests)
        return generation

    def _deliver(self, outputs: Sequence[RequestOutput]) -> None:
        batch = []
        for output in outputs:
            entry = self._open.get(output.request_id)
            if entry is not None:
                entry.has_output = True
                batch.append((entry.stream, output))
            if output.finished:
                self._open.pop(output.request_id, None)
        if batch:
            self._mailbox.put(batch)

    def _send(self, requests: Sequence[Request] = (), cancels: Sequence[Cancel] = ()) -> None:
        """Adds orders; all of one turn of the event loop go as one message."""
        if not requests and not cancels:
            return
        if not self._orders.requests and not self._orders.cancels:
            asyncio.get_running_loop().call_soon(self._flush)
        self._orders.requests.extend(requests)
        self._orders.cancels.extend(cancels)

    def _flush(self) -> None:
        orders, self._orders = self._orders, Orders([], [])
        if self._transport is not None and (orders.requests or orders.cancels):
            self._transport.write(framed(encode(orders)))
        self._processor.prepare()


class _Connection(asyncio.Protocol):
    """One connection: first Hello, then Updates."""

    def __init__(self, client: EngineClient) -> None:
        self._client, self._reader = client, FrameReader()
        self._has_hello = False

    def data_received(self, data: bytes) -> None:
        """What fails in here closes the connection: the engine then drops all that it did."""
        for message in self._reader.feed(data):
            if self._has_hello:
                self._client.updated(decode(message, Update))
            else:
                self._has_hello = True
                self._client.connected(decode(message, Hello))

    def connection_lost(self, error: Exception | None) -> None:
        """The engine has ended, or what it said made no sense."""
        self._client.disconnected()
