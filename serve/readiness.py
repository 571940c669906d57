"""When a server is ready: each front tells the supervisor through a pipe when it would answer."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def readiness(num_fronts: int, on_ready: Callable[[], None]) -> Iterator[int]:
    """The descriptor that fronts tell through; `on_ready` is called once, when all of them have."""
    missing = set(range(num_fronts))

    def hear() -> None:
        was_ready = not missing
        missing.difference_update(map(int, os.read(pipe, 1 << 16).split()))
        if not missing and not was_ready:  # a front that is started anew tells again
            on_ready()

    pipe, fd = os.pipe()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe, hear)
    try:
        yield fd
    finally:
        loop.remove_reader(pipe)
        os.close(pipe)
        os.close(fd)


def tell_ready(fd: int, index: int) -> None:
    """A front would answer; so short a line is never torn."""
    os.write(fd, f"{index}\n".encode())
