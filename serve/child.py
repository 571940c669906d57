"""What the supervisor and its child processes share: specs, and what a child does first."""

import ctypes
import os
import signal
import sys
from typing import TypeVar

import msgspec

from .logs import set_up_logs
from .options import ServeOptions

_PR_SET_PDEATHSIG = 1


class ChildSpec(msgspec.Struct, kw_only=True):
    """What a child is told, through its input: secrets are in no command line."""

    options: ServeOptions
    model: str  # the artifact
    supervisor_pid: int
    engine_address: str  # where the engine takes fronts: the path of a socket
    started_s: float  # when it was started, by time.monotonic


class EngineSpec(ChildSpec, kw_only=True):
    """Which files are open for the engine."""

    listener_fd: int
    pulse_fd: int


class FrontSpec(ChildSpec, kw_only=True):
    """Which socket a front takes connections from, and where it tells that it would answer."""

    socket_fd: int
    ready_fd: int
    index: int  # of the front


CANNOT_LOAD = 2  # the exit code of an engine or a front where starting again would not help
METRICS_VARIABLE = (
    "PROMETHEUS_MULTIPROC_DIR"  # where fronts count together, as the library wants it
)

Spec = TypeVar("Spec", bound=ChildSpec)


def begin(kind: type[Spec]) -> Spec:
    """Reads the spec; from then on the process ends with its supervisor."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    _die_with_parent(spec.supervisor_pid)
    set_up_logs(spec.options.log_level)
    return spec


def _die_with_parent(parent_pid: int) -> None:
    """Linux kills this process when the one that started it ends, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it had ended before
        os._exit(1)
