"""The supervisor: holds the sockets, starts engine and fronts, and starts them anew when they end.

It computes nothing and reads no request, so that nothing can end it but what is meant to.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from .child import CANNOT_LOAD, METRICS_VARIABLE, FrontSpec
from .children import Child
from .engine_keeper import EngineKeeper
from .listening import engine_listener
from .options import ServeOptions
from .readiness import readiness

FORCED = 128 + signal.SIGTERM  # the exit code where what ran was not waited for
_FRONT_PROVED_S = 10.0  # a front that has lived so long was not broken from its start
_MAX_FRONT_FAILURES = 5
_GRACE_S = 5.0  # beyond the time that fronts give themselves

_log = logging.getLogger(__name__)


class Supervisor:
    """Serves a model until a signal asks it to end, or it cannot be kept alive.

    `on_ready` is called once, when the model is loaded and every front would answer.
    """

    def __init__(
        self,
        model: str,
        options: ServeOptions,
        sockets: Sequence[socket.socket],
        on_ready: Callable[[], None],
    ) -> None:
        self._model, self._options, self._sockets = model, options, sockets
        self._on_ready = on_ready
        self._variables: dict[str, str] = {}  # of a front's environment
        self._num_signals = 0
        self._is_stopping = asyncio.Event()
        self._fronts: dict[int, Child] = {}  # those that live

    async def run(self) -> int:
        """Gives the exit code: 0 if it was asked to end and all that ran was answered."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._note_signal)
        with (
            engine_listener() as (listener, address),
            readiness(len(self._sockets), self._on_ready) as ready_fd,
        ):
            self._variables = {METRICS_VARIABLE: str(Path(address).parent)}
            return await self._keep(listener, address, ready_fd)

    async def _keep(self, listener: socket.socket, address: str, ready_fd: int) -> int:
        keeper = EngineKeeper(self._model, self._options, listener, address)
        engine = asyncio.ensure_future(keeper.run())
        fronts = [
            asyncio.ensure_future(self._keep_front(index, address, ready_fd))
            for index in range(len(self._sockets))
        ]
        stop = asyncio.ensure_future(self._is_stopping.wait())
        await asyncio.wait([engine, *fronts, stop], return_when=asyncio.FIRST_COMPLETED)
        codes = [task.result() for task in (engine, *fronts) if task.done()]
        await self._end_fronts(fronts)
        engine.cancel()
        await keeper.close()
        return max(codes, default=FORCED if self._num_signals > 1 else 0)

    def _note_signal(self) -> None:
        self._num_signals += 1
        self._is_stopping.set()
        if self._num_signals > 1:
            self._signal_fronts()

    def _signal_fronts(self) -> None:
        for child in self._fronts.values():
            child.signal(signal.SIGTERM)

    async def _end_fronts(self, keepers: Sequence[asyncio.Future[int]]) -> None:
        """Lets them answer what they have begun."""
        self._is_stopping.set()
        self._signal_fronts()
        limit_s = self._options.drain_timeout_s + _GRACE_S
        _, late = await asyncio.wait(keepers, timeout=limit_s)
        for child in self._fronts.values():
            await child.end(signal.SIGKILL)
        await asyncio.gather(*late)

    async def _keep_front(self, index: int, address: str, ready_fd: int) -> int:
        """Starts a front, and another when it ends, until all is to end."""
        num_failures = 0
        while num_failures < _MAX_FRONT_FAILURES:
            started_s = monotonic()
            code = await self._live_front(index, address, ready_fd)
            if self._is_stopping.is_set():
                return 0
            if code == CANNOT_LOAD:
                return code
            has_lived = monotonic() - started_s > _FRONT_PROVED_S
            num_failures = 1 if has_lived else num_failures + 1
            _log.error("front ended", extra={"exit_code": code, "num_failures": num_failures})
        return 1

    async def _live_front(self, index: int, address: str, ready_fd: int) -> int:
        fd = self._sockets[index].fileno()
        spec = FrontSpec(
            options=self._options,
            model=self._model,
            supervisor_pid=os.getpid(),
            engine_address=address,
            started_s=monotonic(),
            socket_fd=fd,
            ready_fd=ready_fd,
            index=index,
        )
        self._fronts[index] = child = await Child.start(
            "front_process", spec, [fd, ready_fd], self._variables
        )
        if self._is_stopping.is_set():  # since it was begun to start
            child.signal(signal.SIGTERM)
        try:
            return await child.wait()
        finally:
            del self._fronts[index]
