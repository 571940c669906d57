"""Records as bytes, for another process: msgpack, arrays as they lie.

An array is `[dtype, shape, data]` in numpy's words. What is decoded is checked against the types of
the record and shares the memory of the message, so it cannot be written to.
"""

from functools import cache
from typing import Annotated, Any, TypeVar, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import TapeoutError

Record = TypeVar("Record", bound=msgspec.Struct)


class WireError(TapeoutError):
    """Bytes that are not the record that they should be; the message says where."""


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=2)]
    data: bytes


def encode(record: msgspec.Struct) -> bytes:
    """The record as bytes."""
    return _ENCODER.encode(record)


def decode(data: bytes | memoryview, kind: type[Record]) -> Record:
    """The record that `encode` was given. Raises WireError for anything else."""
    try:
        record: Record = _decoder(kind).decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(f"{len(data)} bytes are no {kind.__name__}: {error}") from None
    return record


@cache
def _decoder(kind: type[Record]) -> msgspec.msgpack.Decoder[Record]:
    return msgspec.msgpack.Decoder(kind, dec_hook=_from_wire)


def _to_wire(value: object) -> object:
    assert isinstance(value, np.ndarray), f"{type(value)} cannot be sent"
    return value.dtype.str, value.shape, np.ascontiguousarray(value).data


def _from_wire(kind: Any, value: Any) -> NDArray[Any]:
    """An array. Raises ValueError, of which msgspec makes an error that names the field."""
    try:
        array = msgspec.convert(value, _Array)
    except msgspec.ValidationError as error:
        raise ValueError(f"no array: {error}") from None
    wanted = np.dtype(get_args(get_args(kind)[1])[0])
    if array.dtype != wanted.str:
        raise ValueError(f"an array of {array.dtype!r} where {wanted.str!r} belongs")
    return np.frombuffer(array.data, wanted).reshape(array.shape)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_to_wire)
