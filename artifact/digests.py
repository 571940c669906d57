"""The digest of a file: sha256 over the concatenated sha256 of each 8 MiB chunk.

Chunks can be hashed by several threads at once, and while a file is being written.
"""

from hashlib import sha256

from ..interrupts import in_threads

CHUNK_BYTES = 8 << 20


class Digest:
    """Hashes a file as it is written, piece by piece."""

    def __init__(self) -> None:
        self._chunks = sha256()
        self._chunk = sha256()
        self._room_bytes = CHUNK_BYTES

    def update(self, data: memoryview) -> None:
        """Takes the next bytes; `data` is a flat view of bytes. Whole chunks have threads each."""
        begun = self._room_bytes % CHUNK_BYTES
        self._add(data[:begun])
        end = len(data) - max(0, len(data) - begun) % CHUNK_BYTES
        whole = [data[i : i + CHUNK_BYTES] for i in range(begun, end, CHUNK_BYTES)]
        if len(whole) < 2:
            self._add(data[begun:])
            return
        for digest in in_threads(_digest_of_chunk, whole):
            self._chunks.update(digest)
        self._add(data[end:])

    def hexdigest(self) -> str:
        """The digest of all that was taken; nothing may be taken after."""
        if self._room_bytes < CHUNK_BYTES:
            self._close_chunk()
        return self._chunks.hexdigest()

    def _add(self, data: memoryview) -> None:
        while len(data):
            piece = data[: self._room_bytes]
            self._chunk.update(piece)
            self._room_bytes -= len(piece)
            data = data[len(piece) :]
            if not self._room_bytes:
                self._close_chunk()

    def _close_chunk(self) -> None:
        self._chunks.update(self._chunk.digest())
        self._chunk, self._room_bytes = sha256(), CHUNK_BYTES


def _digest_of_chunk(data: memoryview) -> bytes:
    return sha256(data).digest()


def digest_of(data: bytes | memoryview) -> str:
    """The digest of a whole file's bytes."""
    digest = Digest()
    digest.update(memoryview(data))
    return digest.hexdigest()


def combine(chunk_digests: list[bytes]) -> str:
    """The digest of a file from the sha256 of each of its chunks, in order."""
    return sha256(b"".join(chunk_digests)).hexdigest()
