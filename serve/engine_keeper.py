"""Keeps an engine alive: a new one is started when it ends, or when a step of it hangs."""

import asyncio
import logging
import os
import signal
import socket
from dataclasses import dataclass
from time import monotonic

from .child import CANNOT_LOAD, EngineSpec
from .children import Child
from .options import ServeOptions
from .pulse import READY, SERVED

_log = logging.getLogger(__name__)


@dataclass
class _Signs:
    """What is known of the engine that runs."""

    heard_s: float
    is_ready: bool = False
    has_served: bool = False


class EngineKeeper:
    """Starts engines that take fronts from `listener`, one after the other."""

    def __init__(
        self, model: str, options: ServeOptions, listener: socket.socket, address: str
    ) -> None:
        self._model, self._options = model, options
        self._listener, self._address = listener, address
        self._child: Child | None = None
        self._was_ready = False  # any engine so far

    async def run(self) -> int:
        """Ends only when it makes no sense to go on: gives the exit code to end with."""
        num_failures = 0
        while num_failures < self._options.max_engine_failures:
            code, signs = await self._live()
            if code == CANNOT_LOAD and not self._was_ready:
                return code
            num_failures = 0 if signs.has_served else num_failures + 1
            _log.error("engine ended", extra={"exit_code": code, "num_failures": num_failures})
        _log.critical("%d engines in a row ended having served nothing", num_failures)
        return 1

    async def close(self) -> None:
        """Ends the engine."""
        if self._child is not None:
            await self._child.end()

    async def _live(self) -> tuple[int, _Signs]:
        """The life of one engine."""
        pulse, pulse_fd = os.pipe()
        try:
            spec = EngineSpec(
                options=self._options,
                model=self._model,
                supervisor_pid=os.getpid(),
                engine_address=self._address,
                started_s=monotonic(),
                listener_fd=self._listener.fileno(),
                pulse_fd=pulse_fd,
            )
            fds = [self._listener.fileno(), pulse_fd]
            self._child = child = await Child.start("engine_process", spec, fds)
        finally:
            os.close(pulse_fd)
        signs = _Signs(monotonic())
        loop = asyncio.get_running_loop()
        loop.add_reader(pulse, self._hear, pulse, signs)
        try:
            return await self._watch(child, signs), signs
        finally:
            loop.remove_reader(pulse)
            os.close(pulse)

    def _hear(self, pulse: int, signs: _Signs) -> None:
        said = os.read(pulse, 1 << 16)
        signs.heard_s = monotonic()
        signs.is_ready = signs.is_ready or READY in said
        signs.has_served = signs.has_served or SERVED in said
        self._was_ready = self._was_ready or signs.is_ready

    async def _watch(self, child: Child, signs: _Signs) -> int:
        """Waits for the engine's end; makes it, if nothing is heard of it for too long."""
        end = asyncio.ensure_future(child.wait())
        while not end.done():
            options = self._options
            limit_s = options.step_timeout_s if signs.is_ready else options.startup_timeout_s
            left_s = signs.heard_s + limit_s - monotonic()
            if left_s > 0:
                # It may get ready meanwhile: then the other limit holds.
                await asyncio.wait([end], timeout=min(left_s, options.step_timeout_s))
            else:
                _log.error("engine hangs", extra={"limit_s": limit_s})
                await child.end(signal.SIGABRT)  # it says where it was, if it still can
        return end.result()
