"""The header of a safetensors file, checked wholly before a byte of its tensors is trusted.

The layout is: 8 bytes header length, little-endian; the header, a JSON object; the data. The header
maps a name to dtype, shape and the range of its bytes in the data. Tensors cover the data exactly:
none overlap, nothing is left over.
"""

from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from ..errors import CheckpointError
from .strict_json import parse_json_object

MAX_HEADER_BYTES = 100_000_000
MAX_RANK = 64
DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
_REMEDY = "fetch the file again, or save the model again with save_pretrained()"


class TensorInfo(NamedTuple):
    """One tensor of a checkpoint and where its bytes are; `offset` counts from the file's start."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    file: Path
    offset: int
    bytes: int


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Every tensor of the file, ordered by offset.

    Raises CheckpointError that names the file, the field, what was found and what was wanted.
    """
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as file:
            header = _read_header_bytes(file, path, file_bytes)
    except OSError as error:
        raise CheckpointError(path, "file", error.strerror, "a readable file", _REMEDY) from None
    data_start = 8 + len(header)
    entries = parse_json_object(header, path, "header")
    _check_metadata(entries.pop("__metadata__", {}), path)
    tensors = {
        name: _tensor(name, entry, path, data_start, file_bytes - data_start)
        for name, entry in entries.items()
    }
    tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].bytes)))
    _check_cover(tensors, path, data_start, file_bytes)
    return tensors


def _read_header_bytes(file: BinaryIO, path: Path, file_bytes: int) -> bytes:
    start = file.read(8)
    if _is_pickle(start, file.read(1)):
        raise CheckpointError(
            path, "format", "a pickle (torch.save)", "safetensors", f"never loaded; {_REMEDY}"
        )
    if len(start) < 8:
        raise CheckpointError(path, "bytes", file_bytes, "at least 8", _REMEDY)
    length, limit = int.from_bytes(start, "little"), min(MAX_HEADER_BYTES, file_bytes - 8)
    if not 2 <= length <= limit:
        raise CheckpointError(path, "header length", length, f"2 to {limit}", _REMEDY)
    file.seek(8)
    header = file.read(length)
    if len(header) != length:
        raise CheckpointError(path, "header", f"{len(header)} bytes", f"{length} bytes", _REMEDY)
    return header


def _is_pickle(start: bytes, first: bytes) -> bool:
    """Whether a file begins as torch.save or pickle do; a header of 128 bytes is not one."""
    return first != b"{" and (start[:4] == b"PK\x03\x04" or start[:1] == b"\x80")


def _check_metadata(metadata: Any, path: Path) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(path, "__metadata__", metadata, "strings by name", _REMEDY)


def _tensor(name: str, entry: Any, path: Path, data_start: int, data_bytes: int) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(path, name, entry, "dtype, shape and data_offsets", _REMEDY)
    dtype = _dtype(entry["dtype"], path, f"{name}.dtype")
    shape = _integers(entry["shape"], path, f"{name}.shape", range(MAX_RANK + 1))
    offsets = _integers(entry["data_offsets"], path, f"{name}.data_offsets", range(2, 3))
    start, end = offsets
    if not start <= end <= data_bytes:
        wanted = f"a range within the {data_bytes} bytes of data"
        raise CheckpointError(path, f"{name}.data_offsets", offsets, wanted, _REMEDY)
    if end - start != prod(shape) * dtype.itemsize:
        wanted = f"{prod(shape) * dtype.itemsize} of {dtype} {list(shape)}"
        raise CheckpointError(path, f"{name} bytes", end - start, wanted, _REMEDY)
    return TensorInfo(dtype, shape, path, data_start + start, end - start)


def _dtype(value: Any, path: Path, field: str) -> torch.dtype:
    if not isinstance(value, str) or value not in DTYPES:
        raise CheckpointError(path, field, value, f"one of {', '.join(DTYPES)}")
    return DTYPES[value]


def _integers(value: Any, path: Path, field: str, lengths: range) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) not in lengths:
        found = f"{len(value)} entries" if isinstance(value, list) else value
        wanted = f"a list of {lengths[0]} to {lengths[-1]} numbers"
        raise CheckpointError(path, field, found, wanted, _REMEDY)
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in value):
        raise CheckpointError(path, field, value, "whole numbers from 0 to 2^63-1", _REMEDY)
    return tuple(value)


def _check_cover(tensors: dict[str, TensorInfo], path: Path, start: int, end: int) -> None:
    for name, tensor in tensors.items():
        if tensor.offset != start:
            what = "overlaps the tensor before it" if tensor.offset < start else "leaves a hole"
            found = f"{tensor.offset}, which {what}"
            raise CheckpointError(path, f"{name} offset in the file", found, start, _REMEDY)
        start += tensor.bytes
    if start != end:
        raise CheckpointError(path, "bytes", end, f"{start}, the end of the last tensor", _REMEDY)
