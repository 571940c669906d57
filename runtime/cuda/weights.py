"""Streams an artifact's verified weights to the device, through pinned buffers of several threads.

The driver copies from pinned memory alone at full speed, and filling such memory takes more than
one core: each thread fills its own buffer while the others' are under way.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import NamedTuple

from ...artifact import Artifact, Target
from ..memory import Bytes, round_up
from .device import Device

CHUNK_BYTES = 8 << 20
MAX_THREADS = 16


class Chunk(NamedTuple):
    """A piece of a weight, and where on the device it goes."""

    name: str
    start: int
    end: int
    address: int


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
    addresses: dict[str, int],
    num_threads: int,
) -> None:
    """Returns when every weight is on the device."""
    waiting: SimpleQueue[Chunk] = SimpleQueue()
    for chunk in _chunks(artifact.manifest.targets[target_name], addresses):
        waiting.put(chunk)
    num_threads = max(1, min(num_threads, MAX_THREADS, waiting.qsize()))
    memory = device.allocate_pinned(num_threads * CHUNK_BYTES, "buffers for the weights")
    buffers = memory.reshape(num_threads, CHUNK_BYTES)

    def stream(buffer: Bytes, event: int) -> None:
        for chunk in _taken(waiting):
            source = artifact.weight(target_name, chunk.name)[chunk.start : chunk.end]
            device.call("event_wait", event)  # an event that was never recorded waits for nothing
            buffer[: len(source)] = source
            device.copy_in(chunk.address, buffer[: len(source)])
            device.call("event_record", event)

    with ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(stream, buffers, [device.event() for _ in buffers]))
    device.synchronize()
    device.free_pinned(memory)


def _chunks(target: Target, addresses: dict[str, int]) -> Iterator[Chunk]:
    for name, tensor in target.weights.tensors.items():
        for start in range(0, tensor.bytes, CHUNK_BYTES):
            end = min(start + CHUNK_BYTES, tensor.bytes)
            yield Chunk(name, start, end, addresses[name] + start)


def _taken(waiting: "SimpleQueue[Chunk]") -> Iterator[Chunk]:
    while True:
        try:
            yield waiting.get_nowait()
        except Empty:
            return
