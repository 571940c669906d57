"""The sockets that clients and fronts connect to.

Whoever holds them outlives those who use them, so they never go away.
"""

import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, shown

_BACKLOG = 2048


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` sockets of one port, which take no connections yet.

    Raises InputError if the address cannot be had.
    """
    first = _bound(host, port, shares=False)
    if count == 1:
        return [first]
    # Only sockets that agree on it may share a port; that it was free the first one has shown.
    port = first.getsockname()[1]
    first.close()
    return [_bound(host, port, shares=True) for _ in range(count)]


def listen(sockets: Sequence[socket.socket]) -> str:
    """From now on the kernel spreads connections among the sockets; gives where they listen.

    Raises InputError where somebody else has begun to listen there meanwhile.
    """
    host, port, *_ = sockets[0].getsockname()
    with _refused(host, port):
        for one in sockets:
            one.listen(_BACKLOG)
    return url_of(sockets[0])


def url_of(listener: socket.socket) -> str:
    """Where a socket takes connections."""
    host, port, *_ = listener.getsockname()
    return (
        f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
    )


@contextmanager
def engine_listener() -> Iterator[tuple[socket.socket, str]]:
    """The socket where an engine takes its fronts, and its address, in a folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="tapeout-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        address = str(Path(folder) / "engine")
        listener.bind(address)
        listener.listen()
        yield listener, address


def _bound(host: str, port: int, shares: bool) -> socket.socket:
    with _refused(host, port):
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    return bound


@contextmanager
def _refused(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"host={shown(host)} port={port} cannot be listened on: {error}; give others"
        ) from None
