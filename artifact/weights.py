"""Weight files: safetensors whose tensors start on 64-byte borders, written as they are made.

The format forbids holes, so a tensor that does not end on a border is followed by a small tensor
named `padding.<n>`. The header is padded with spaces.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from math import prod
from typing import NamedTuple, Protocol

import msgspec

from .schema import Tensor, Weights

ALIGNMENT = 64
MAX_FILE_BYTES = 4 << 30
ITEM_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1}


class TensorSpec(NamedTuple):
    """A tensor to come; `dtype` is the format's name, such as `BF16`."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size of the tensor."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


class _File(Protocol):
    position: int

    def write(self, data: bytes | memoryview) -> None: ...


OpenFile = Callable[[str], AbstractContextManager[_File]]


class WeightWriter:
    """Writes the planned tensors in order, starting a new file after about `max_file_bytes`."""

    def __init__(
        self, open_file: OpenFile, target: str, tensors: Sequence[TensorSpec], max_file_bytes: int
    ) -> None:
        self._open_file = open_file
        self._target = target
        self._groups = _split(tensors, max_file_bytes)
        self._num_files = 0
        self._due: list[TensorSpec] = []  # of the open file, next one last
        self._file: _File | None = None
        self._closing = ExitStack()
        self._tensors: dict[str, Tensor] = {}

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Writes the next tensor of the plan; `data` is contiguous. Raises BuildError."""
        if not self._due:
            self._next_file()
        file, due = self._file, self._due.pop()
        assert file is not None
        data = memoryview(data).cast("B")
        assert (name, len(data)) == (due.name, due.bytes), f"got {name}, the plan says {due}"
        path = self._path(self._num_files)
        self._tensors[name] = Tensor(file=path, offset=file.position, bytes=due.bytes)
        file.write(data)
        file.write(bytes(_padding(due.bytes)))
        if not self._due:
            self._closing.close()

    def finish(self) -> Weights:
        """The manifest's table; every planned tensor has been added."""
        assert not self._due and not self._groups, "weights are missing"
        total_bytes = sum(tensor.bytes for tensor in self._tensors.values())
        return Weights(total_bytes=total_bytes, tensors=self._tensors)

    def _path(self, number: int) -> str:
        return f"weights/{self._target}-{number:05}.safetensors"

    def _next_file(self) -> None:
        group = self._groups.pop(0)
        self._num_files += 1
        self._file = self._closing.enter_context(self._open_file(self._path(self._num_files)))
        self._file.write(render_header(group))
        self._due = group[::-1]


def render_header(tensors: Sequence[TensorSpec]) -> bytes:
    """The length and JSON header of a file of `tensors`; the data that follow start on a border."""
    entries: dict[str, dict[str, object]] = {}
    end = 0
    for tensor in tensors:
        entries[tensor.name], end = _entry(tensor.dtype, tensor.shape, end, tensor.bytes)
        if gap := _padding(end):
            entries[f"padding.{len(entries)}"], end = _entry("U8", (gap,), end, gap)
    text = msgspec.json.encode(entries)
    text += b" " * _padding(8 + len(text))
    return len(text).to_bytes(8, "little") + text


def _entry(
    dtype: str, shape: tuple[int, ...], start: int, num_bytes: int
) -> tuple[dict[str, object], int]:
    end = start + num_bytes
    return {"dtype": dtype, "shape": shape, "data_offsets": (start, end)}, end


def _padding(num_bytes: int) -> int:
    return -num_bytes % ALIGNMENT


def _split(tensors: Sequence[TensorSpec], max_file_bytes: int) -> list[list[TensorSpec]]:
    groups: list[list[TensorSpec]] = []
    size = 0
    for tensor in tensors:
        if not groups or (size and size + tensor.bytes > max_file_bytes):
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += tensor.bytes
    return groups
