"""Streams an artifact's weights to the device, through pinned buffers of several threads.

The driver copies from pinned memory alone at full speed, and filling such memory takes more than
one core: each thread fills its own buffer while the others' are under way. It hashes what it has
filled in, so what is verified is just what is copied.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from hashlib import sha256
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeAlias

import numpy as np

from ...artifact import Artifact, Target
from ...artifact.digests import CHUNK_BYTES
from ...interrupts import BEAT_S, uninterrupted
from ..memory import Bytes, round_up
from .device import Device

MAX_THREADS = 16
_Span: TypeAlias = tuple[int, int, int]  # a weight's begin and end in its file, its address


class _Part(NamedTuple):
    """Bytes start to end of a chunk, and where on the device they go."""

    start: int
    end: int
    address: int


class _Chunk(NamedTuple):
    """A chunk of a file, and what of it are weights."""

    view: memoryview
    parts: list[_Part]
    digests: list[bytes]  # of the file's chunks
    number: int


def place_weights(target: Target, base: int) -> dict[str, int]:
    """The address of each weight, one after another from `base`."""
    addresses = {}
    for name, tensor in target.weights.tensors.items():
        addresses[name] = base
        base += round_up(tensor.bytes)
    return addresses


def stream_weights(
    device: Device,
    artifact: Artifact,
    target_name: str,
    addresses: Mapping[str, int],
    num_threads: int,
) -> None:
    """Returns when every weight is on the device and verified. Raises ArtifactError."""
    digests: dict[str, list[bytes]] = {}
    waiting: SimpleQueue[_Chunk] = SimpleQueue()
    for chunk in _chunks(artifact, target_name, addresses, digests):
        waiting.put(chunk)
    num_threads = max(1, min(num_threads, MAX_THREADS, waiting.qsize()))
    memory = device.allocate_pinned(num_threads * CHUNK_BYTES, "buffers for the weights")
    buffers = memory.reshape(num_threads, CHUNK_BYTES)
    events = [device.event() for _ in buffers]
    # What the threads write to is freed behind this, so not even an interrupt leaves them behind.
    with uninterrupted() as let_in, ThreadPoolExecutor(num_threads) as pool, _ending(waiting):
        streams = [
            pool.submit(_stream, device, waiting, buffer, event)
            for buffer, event in zip(buffers, events, strict=True)
        ]
        while wait(streams, BEAT_S).not_done:
            let_in()
        for stream in streams:
            stream.result()
    device.synchronize()
    device.free_pinned(memory)
    for file, found in digests.items():
        artifact.check_chunks(file, found)


def _stream(device: Device, waiting: "SimpleQueue[_Chunk]", buffer: Bytes, event: int) -> None:
    """Copies chunks as long as there are any; `event` is when `buffer` is free again."""
    with _ending(waiting):
        for chunk in _taken(waiting):
            device.call("event_wait", event)  # an event that was never recorded waits for nothing
            filled = buffer[: len(chunk.view)]
            filled[:] = np.frombuffer(chunk.view, np.uint8)
            for start, end, address in chunk.parts:
                device.copy_in(address, buffer[start:end])
            device.call("event_record", event)
            chunk.digests[chunk.number] = sha256(filled.data).digest()


def _chunks(
    artifact: Artifact,
    target_name: str,
    addresses: Mapping[str, int],
    digests: dict[str, list[bytes]],
) -> Iterator[_Chunk]:
    """Every chunk of the weight files; `digests` gets a list for each file, to be filled in."""
    tensors = artifact.manifest.targets[target_name].weights.tensors
    for file in dict.fromkeys(tensor.file for tensor in tensors.values()):
        spans = sorted(
            (tensor.offset, tensor.offset + tensor.bytes, addresses[name])
            for name, tensor in tensors.items()
            if tensor.file == file
        )
        views = artifact.chunks(file)
        digests[file] = [b""] * len(views)
        for number, view in enumerate(views):
            parts = _parts(spans, number * CHUNK_BYTES, len(view))
            yield _Chunk(view, parts, digests[file], number)


def _parts(spans: list[_Span], start: int, num_bytes: int) -> list[_Part]:
    """What of the spans of a file lies in a chunk that begins at `start`."""
    parts, end = [], start + num_bytes
    for begin, stop, address in spans[bisect_right(spans, start, key=lambda span: span[1]) :]:
        if begin >= end:
            break
        first, last = max(begin, start), min(stop, end)
        parts.append(_Part(first - start, last - start, address + first - begin))
    return parts


@contextmanager
def _ending(waiting: "SimpleQueue[_Chunk]") -> Iterator[None]:
    """Nobody goes on with what is left when one fails."""
    try:
        yield
    finally:
        deque(_taken(waiting), maxlen=0)


def _taken(waiting: "SimpleQueue[_Chunk]") -> Iterator[_Chunk]:
    while True:
        try:
            yield waiting.get_nowait()
        except Empty:
            return
