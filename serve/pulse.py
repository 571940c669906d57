"""What the engine tells the supervisor, byte by byte through a pipe, so that it never waits."""

import os
import time
from contextlib import suppress

READY, ALIVE, SERVED = b"R", b".", b"S"

_INTERVAL_S = 0.2


class Pulse:
    """The engine's end of the pipe."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd, self._beaten_s = fd, 0.0

    def say(self, what: bytes) -> None:
        """Tells of something that happens seldom."""
        with suppress(BlockingIOError):  # as many unread beats say the same
            os.write(self._fd, what)

    def beat(self, now_s: float | None = None) -> None:
        """Says that the engine goes on; called with every step, heard now and then."""
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._beaten_s >= _INTERVAL_S:
            self._beaten_s = now_s
            self.say(ALIVE)
