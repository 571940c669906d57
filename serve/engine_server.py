"""The engine's loop: orders of the fronts in, a step, updates out. One thread, nothing else in it.

While the device computes a step the orders lie in their sockets; they are read before the next is
planned. A front that is lost takes its requests along.
"""

import logging
import selectors
import socket
from collections.abc import Callable
from itertools import count

from ..errors import TapeoutError
from ..runtime.engine_core import EngineCore
from ..runtime.request import Cancel, StepReport
from .frames import Hello, Load, Orders, Update
from .front_link import FrontLink
from .pulse import SERVED, Pulse
from .reports import split_report

_IDLE_S = 0.5  # between two beats while nothing is to be done
_LOAD_INTERVAL_S = 0.1

_log = logging.getLogger(__name__)


class EngineServer:
    """Runs a core for the fronts that connect to `listener`; `hello` greets the one of an id."""

    def __init__(
        self,
        core: EngineCore,
        listener: socket.socket,
        hello: Callable[[int], Hello],
        pulse: Pulse,
    ) -> None:
        self._core, self._listener, self._hello, self._pulse = core, listener, hello, pulse
        listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._links: dict[int, FrontLink] = {}
        self._owners: dict[str, int] = {}  # request id -> front id
        self._front_ids = count()
        self.num_steps = self.num_tokens = 0
        self._has_served = False
        self._load_sent_s = 0.0

    def run(self) -> None:
        """Serves until the process ends, or a step fails: then it raises EngineDeadError."""
        while True:
            self.turn(_IDLE_S)

    def turn(self, idle_s: float) -> None:
        """Reads orders, waiting for them up to `idle_s` if there is nothing to do, and steps."""
        self._exchange(idle_s if self._core.is_idle else 0.0)
        self._pulse.beat()
        if not self._core.is_idle:
            self._deliver(self._core.step())
            self._core.take_result()

    def close(self) -> None:
        """Ends the connections."""
        for link in self._links.values():
            link.socket.close()
        self._selector.close()

    # ---- orders in ----

    def _exchange(self, wait_s: float) -> None:
        for key, events in self._selector.select(wait_s):
            link: FrontLink | None = key.data
            if link is None:
                self._greet()
                continue
            try:
                if events & selectors.EVENT_WRITE:
                    link.flush()
                    self._watch(link)
                if events & selectors.EVENT_READ:
                    for orders in link.receive():
                        self._obey(link, orders)
            except (OSError, ValueError, TapeoutError) as error:
                self._lose(link, error)

    def _greet(self) -> None:
        connection, _ = self._listener.accept()
        link = FrontLink(connection, next(self._front_ids))
        self._links[link.front_id] = link
        self._selector.register(connection, selectors.EVENT_READ, link)
        _log.info("front connected", extra={"front_id": link.front_id})
        self._send(link, self._hello(link.front_id))
        if link.front_id in self._links:  # it may have ended while no engine was there to greet it
            self._send(link, Update(None, self._load()))

    def _obey(self, link: FrontLink, orders: Orders) -> None:
        for request in orders.requests:
            self._owners[request.request_id] = link.front_id
        self._core.add(orders.requests)
        self._core.put(orders.cancels)

    def _lose(self, link: FrontLink, error: Exception) -> None:
        self._selector.unregister(link.socket)
        link.socket.close()
        del self._links[link.front_id]
        own = [name for name, front_id in self._owners.items() if front_id == link.front_id]
        level = logging.WARNING if own else logging.INFO  # a server that ends is no fault
        said = {"front_id": link.front_id, "error": str(error), "num_requests": len(own)}
        _log.log(level, "front lost", extra=said)
        for request_id in own:
            del self._owners[request_id]
        self._core.put([Cancel(request_id, "abort") for request_id in own])

    # ---- updates out ----

    def _deliver(self, report: StepReport) -> None:
        if report.result is not None:
            self.num_steps += 1
            self.num_tokens += len(report.result.token_ids)
        parts = split_report(report, self._owners)
        for end in report.finished:
            self._owners.pop(end.request_id, None)
        if report.finished and not self._has_served:
            self._has_served = True
            self._pulse.say(SERVED)
        load = self._due_load()
        for front_id, link in list(self._links.items()):
            part = parts.get(front_id)
            if part is not None or load is not None:
                self._send(link, Update(part, load))

    def _send(self, link: FrontLink, message: Hello | Update) -> None:
        had_unsent = link.has_unsent
        try:
            link.send(message)
        except OSError as error:
            self._lose(link, error)
        else:
            if link.has_unsent != had_unsent:
                self._watch(link)

    def _watch(self, link: FrontLink) -> None:
        """Looks at whether a front can be written to only where something waits for that."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.has_unsent else 0)
        self._selector.modify(link.socket, events, link)

    def _due_load(self) -> Load | None:
        """Now and then, and when the last request has ended."""
        now_s = self._core.clock()
        if not self._core.is_idle and now_s - self._load_sent_s < _LOAD_INTERVAL_S:
            return None
        self._load_sent_s = now_s
        return self._load()

    def _load(self) -> Load:
        scheduler = self._core.scheduler
        return Load(
            num_running=len(scheduler.sequences.running),
            num_waiting=len(scheduler.waiting),
            num_kv_pages=sum(scheduler.cache.num_pages()),
            num_free_kv_pages=sum(scheduler.cache.num_free_pages()),
            num_steps=self.num_steps,
            num_tokens=self.num_tokens,
            num_preemptions=scheduler.num_preemptions,
        )
