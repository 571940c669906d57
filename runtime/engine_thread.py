"""A thread of its own for an engine: commands go in through a queue, outputs out through mailboxes.

All that touches the engine happens in that thread. While there is nothing to do it sleeps.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread

from ..errors import EngineDeadError, TapeoutError, shown
from .engine import Engine
from .generation import Generation
from .outputs import RequestOutput
from .stream import Delivery, Mailbox, Stream

log = logging.getLogger(__name__)

_Command = Callable[[], None]


class EngineThread:
    """Runs an engine until `close`; its methods may be called from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commands: SimpleQueue[_Command | None] = SimpleQueue()
        self._streams: dict[str, Stream] = {}  # of requests in the engine; its thread's own
        self._mailboxes: dict[asyncio.AbstractEventLoop, tuple[Mailbox, set[Stream]]] = {}
        self._lock = Lock()  # of the mailboxes, and of whether it has ended
        self._end: EngineDeadError | None = None  # why, once it has
        self._thread = Thread(target=self._main, name="tapeout-engine", daemon=True)
        self._thread.start()

    def open(self, generation: Generation) -> Stream:
        """Sends a generation to the engine, from a task of the event loop that will take its
        outputs. Raises QueueFullError where that is known at once, and EngineDeadError."""
        self.check_alive()
        self._engine.check_room([generation])
        loop = asyncio.get_running_loop()
        with self._lock:
            self._check_open()
            self._forget_closed_loops()
            mailbox, streams = self._mailboxes.setdefault(loop, (Mailbox(loop), set()))
            stream = Stream(generation, mailbox)
            streams.add(stream)
            self._commands.put(partial(self._add, stream))
        return stream

    def leave(self, stream: Stream) -> None:
        """The task takes no more: what goes on is aborted."""
        loop = stream.mailbox.loop
        with self._lock:
            _, streams = self._mailboxes.get(loop, (None, {stream}))
            streams.discard(stream)
            if not streams:
                self._mailboxes.pop(loop, None)
        if not stream.is_done:
            self._commands.put(partial(self._abandon, stream))

    def abort(self, request_id: str) -> None:
        """Ends a request with finish_reason "abort"; one that has ended is passed over."""
        self._commands.put(partial(self._engine.abort, request_id))

    def check_alive(self) -> None:
        """Raises EngineDeadError if a step has failed, or the thread has ended or was left behind
        by a fork."""
        self._engine.check_alive()
        self._check_open()
        if not self._thread.is_alive():
            raise EngineDeadError("a model cannot be used in a fork of its process; load it there")

    def close(self) -> None:
        """Ends the thread after the steps in flight; what is not done ends in EngineDeadError."""
        self._commands.put(None)
        if self._thread is not current_thread():  # a garbage collection may run anywhere
            self._thread.join()

    # ---- in the engine's thread ----

    def _main(self) -> None:
        end = EngineDeadError("the model was shut down; load it anew")
        try:
            while self._obey():
                self._advance()
        except Exception as error:  # of ours: every stream is told, none waits for ever
            log.exception("the engine's thread failed")
            end = EngineDeadError(f"the engine failed: {shown(repr(error))}; load the model anew")
        with self._lock:
            self._end = end
        while not self._commands.empty():
            with suppress(Exception):
                self._obey()
        self._end_all(end)

    def _obey(self) -> bool:
        """Runs the commands that have come; waits for one if there is nothing else to do."""
        try:
            command = self._commands.get(block=self._engine.is_idle)
            while command is not None:
                command()
                command = self._commands.get_nowait()
        except Empty:
            return True
        return False

    def _advance(self) -> None:
        """One step; what comes up while the next result is waited for goes into the next plan."""
        if self._engine.is_idle:
            return
        try:
            self._deliver(self._engine.step())
            self._engine.take_result()
        except EngineDeadError as error:
            self._end_all(error)

    def _add(self, stream: Stream) -> None:
        generation = stream.generation
        try:
            self._engine.add([generation])
        except TapeoutError as error:
            self._put(stream.mailbox, [(stream, error)])
        except Exception:
            self._streams[generation.request_id] = stream  # it is told with the others
            raise
        else:
            self._streams[generation.request_id] = stream

    def _abandon(self, stream: Stream) -> None:
        request_id = stream.generation.request_id
        if self._streams.get(request_id) is stream:
            del self._streams[request_id]
            self._engine.abort(request_id)

    def _deliver(self, outputs: Sequence[RequestOutput]) -> None:
        """Wakes each event loop once for all outputs of a step."""
        batches: dict[Mailbox, list[tuple[Stream, Delivery]]] = defaultdict(list)
        for output in outputs:
            stream = self._streams.get(output.request_id)
            if stream is not None:
                batches[stream.mailbox].append((stream, output))
            if output.finished:
                self._streams.pop(output.request_id, None)
        for mailbox, batch in batches.items():
            self._put(mailbox, batch)

    def _put(self, mailbox: Mailbox, batch: Sequence[tuple[Stream, Delivery]]) -> None:
        """Ends what a closed event loop has left behind."""
        try:
            mailbox.put(batch)
        except RuntimeError:
            for stream, _ in batch:
                self.leave(stream)

    def _end_all(self, error: EngineDeadError) -> None:
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:  # an error of its own for each: raising one changes it
            own = EngineDeadError(*error.args)
            own.__cause__ = error.__cause__
            self._put(stream.mailbox, [(stream, own)])

    def _forget_closed_loops(self) -> None:
        """Drops those that were closed before they took their last outputs, under the lock."""
        for loop in [loop for loop in self._mailboxes if loop.is_closed()]:
            del self._mailboxes[loop]

    def _check_open(self) -> None:
        if self._end is not None:
            raise EngineDeadError(str(self._end))
