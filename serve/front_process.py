"""A front's process: takes connections from the socket that the supervisor holds."""

import asyncio
import logging
import resource
import socket
import sys
from types import FrameType

import uvicorn
import uvloop

from .app import build_app
from .child import CANNOT_LOAD, FrontSpec, begin
from .front import Front
from .http_protocol import bounded_protocol
from .readiness import tell_ready

_BACKLOG = 2048
_KEEP_ALIVE_S = 75
_ENGINE_S = 0.5  # connections wait so long for one that is there; else they are told to come again

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn, but a signal begins to drain; a second one ends what runs."""

    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        super().__init__(config)
        self._front = front

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called for each signal."""
        self._front.drain()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        self._front.check_drain()
        if self._front.is_draining and not self.server_state.tasks:
            self.should_exit = True
        return await super().on_tick(counter)


def main() -> None:
    """Ends by SIGTERM, when what it was doing is done, or by a model that cannot be served."""
    spec = begin(FrontSpec)
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_serve(spec)))


def _raise_descriptor_limit() -> None:
    """Every connection is a descriptor, and the default is a thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(spec: FrontSpec) -> int:
    front = Front(spec.options, spec.engine_address)
    config = uvicorn.Config(
        build_app(front),
        http=bounded_protocol(spec.options.max_header_bytes, spec.options.read_timeout_s),
        interface="asgi3",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    tasks = [asyncio.ensure_future(run) for run in (front.engine.run(), _tell_ready(front, spec))]
    await front.engine.wait_ready(_ENGINE_S)
    await _Server(config, front).serve(sockets=[socket.socket(fileno=spec.socket_fd)])
    for task in tasks:
        task.cancel()
    front.close()
    if front.failure is None:
        return 0
    _log.critical("the model cannot be served: %s", front.failure)
    return CANNOT_LOAD


async def _tell_ready(front: Front, spec: FrontSpec) -> None:
    """Connections wait from then on, and are answered, if they are not taken already."""
    await front.engine.wait_ready(None)
    if front.is_ready:
        tell_ready(spec.ready_fd, spec.index)


if __name__ == "__main__":
    main()
