"""Weight files: safetensors whose tensors start on 64-byte borders, written as they are made.

The format forbids holes, so a tensor that does not end on a border is followed by a small tensor
named `padding.<n>`. The header is padded with spaces.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import count
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
    def write(self, data: bytes | memoryview) -> None: ...


OpenFile = Callable[[str], AbstractContextManager[_File]]


class WeightFile(NamedTuple):
    """A file to come: its path in the artifact and its tensors in order."""

    path: str
    tensors: tuple[TensorSpec, ...]


class WeightWriter:
    """Writes the planned tensors in order, each file as its first tensor comes."""

    def __init__(self, open_file: OpenFile, files: Sequence[WeightFile]) -> None:
        self._open_file = open_file
        self._files = list(files)
        self._due = [(file, tensor) for file in files for tensor in file.tensors]
        self._num_added = 0
        self._file: _File | None = None
        self._closing = ExitStack()

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Writes the next tensor of the plan; `data` is contiguous. Raises BuildError."""
        data = memoryview(data).cast("B")
        planned, tensor = self._due[self._num_added]
        assert (name, len(data)) == (tensor.name, tensor.bytes), f"got {name}, due is {tensor}"
        self._num_added += 1
        if tensor is planned.tensors[0]:
            self._file = self._closing.enter_context(self._open_file(planned.path))
            self._file.write(render_header(planned.tensors))
        assert self._file is not None
        self._file.write(data)
        self._file.write(bytes(_padding(tensor.bytes)))
        if tensor is planned.tensors[-1]:
            self._closing.close()

    def finish(self) -> Weights:
        """The manifest's table; every planned tensor has been added."""
        assert self._num_added == len(self._due), "weights are missing"
        return table_of(self._files)


def plan_files(
    target: str, tensors: Sequence[TensorSpec], max_file_bytes: int = MAX_FILE_BYTES
) -> list[WeightFile]:
    """Spreads a target's tensors, in order, over files of about `max_file_bytes` at most."""
    groups: list[list[TensorSpec]] = []
    size = 0
    for tensor in tensors:
        if not groups or (size and size + tensor.bytes > max_file_bytes):
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += tensor.bytes
    paths = (f"weights/{target}-{number:05}.safetensors" for number in count(1))
    return [WeightFile(path, tuple(group)) for path, group in zip(paths, groups, strict=False)]


def table_of(files: Sequence[WeightFile]) -> Weights:
    """Where each tensor of the files is; known before any is written."""
    table: dict[str, Tensor] = {}
    for path, tensors in files:
        offset = len(render_header(tensors))
        for spec in tensors:
            table[spec.name] = Tensor(file=path, offset=offset, bytes=spec.bytes)
            offset += spec.bytes + _padding(spec.bytes)
    return Weights(total_bytes=sum(t.bytes for t in table.values()), tensors=table)


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
