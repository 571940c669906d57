"""The engine's process: loads the artifact, then runs steps for the fronts until it is ended."""

import logging
import socket
import sys
import time
from pathlib import Path

from ..errors import EngineDeadError, TapeoutError
from ..runtime.engine_core import EngineCore
from ..runtime.load import LoadedModel, open_model
from .child import CANNOT_LOAD, EngineSpec, begin
from .engine_server import EngineServer
from .frames import Hello
from .options import ServeOptions
from .pulse import READY, Pulse

_log = logging.getLogger(__name__)


def main() -> None:
    """Ends only by a signal or an error."""
    spec = begin(EngineSpec)
    pulse = Pulse(spec.pulse_fd)
    phases_s = {"import": time.monotonic() - spec.started_s}
    try:
        loaded = _load(spec.model, spec.options)
    except TapeoutError as error:
        _log.critical("the model cannot be loaded: %s", error)
        sys.exit(CANNOT_LOAD)
    phases_s["load"] = time.monotonic() - spec.started_s - phases_s["import"]
    server = EngineServer(
        # The fronts refuse what is too much before it is sent: the queue has no bound of its own.
        EngineCore(
            loaded.executor,
            loaded.scheduler(spec.options.enable_prefix_caching),
            loaded.grammars(loaded.folder),
        ),
        socket.socket(fileno=spec.listener_fd),
        lambda front_id: _hello(loaded, spec.options, front_id, phases_s),
        pulse,
    )
    _log.info("engine ready", extra={"target": loaded.target_name, "startup_s": phases_s})
    pulse.say(READY)
    try:
        server.run()
    except EngineDeadError as error:
        _log.critical("the engine ends: %s", error)
        sys.exit(1)


def _load(model: str, options: ServeOptions) -> LoadedModel:
    return open_model(
        Path(model),
        options.limits(),
        num_threads=options.num_threads,
        enforce_eager=options.enforce_eager,
    )


def _hello(
    loaded: LoadedModel, options: ServeOptions, front_id: int, phases_s: dict[str, float]
) -> Hello:
    return Hello(
        front_id=front_id,
        artifact=str(loaded.folder),
        bounds=loaded.bounds(),
        max_num_seqs=loaded.plan.max_num_seqs,
        enable_prefix_caching=options.enable_prefix_caching,
        startup_s=phases_s,
        target=loaded.target_name,
    )


if __name__ == "__main__":
    main()
