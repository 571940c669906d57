"""The engine's end of the socket to one front; nothing here ever waits."""

import socket
from collections import deque
from contextlib import suppress

from ..runtime.wire import decode, encode
from .frames import FrameReader, Hello, Orders, Update, framed

_READ_BYTES = 1 << 18
_MAX_UNSENT_BYTES = 1 << 28  # of a front that has stopped reading


class FrontLink:
    """A connected front.

    A method that raises OSError, or ValueError for nonsense, says that the front is lost.
    """

    def __init__(self, connection: socket.socket, front_id: int) -> None:
        connection.setblocking(False)
        self.socket, self.front_id = connection, front_id
        self._reader = FrameReader()
        self._unsent: deque[memoryview] = deque()
        self._num_unsent_bytes = 0

    @property
    def has_unsent(self) -> bool:
        """Whether something waits until the front reads on."""
        return bool(self._unsent)

    def receive(self) -> list[Orders]:
        """What has come."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the front has closed its end")
        return [decode(message, Orders) for message in self._reader.feed(data)]

    def send(self, message: Hello | Update) -> None:
        """Sends what can be sent at once and keeps the rest."""
        data = memoryview(framed(encode(message)))
        self._num_unsent_bytes += len(data)
        if self._num_unsent_bytes > _MAX_UNSENT_BYTES:
            raise ConnectionResetError("the front does not read")
        self._unsent.append(data)
        self.flush()

    def flush(self) -> None:
        """Sends what was kept, as far as it goes."""
        with suppress(BlockingIOError):  # full: the rest goes when it can be written again
            while self._unsent:
                num_sent = self.socket.send(self._unsent[0])
                self._num_unsent_bytes -= num_sent
                self._unsent[0] = self._unsent[0][num_sent:]
                if not self._unsent[0]:
                    self._unsent.popleft()
