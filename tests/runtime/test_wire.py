import contextlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tapeout.runtime.frame import (
    F32,
    I32,
    I64,
    Arrival,
    Edits,
    Frame,
    Logprobs,
    Sampling,
    StepResult,
)
from tapeout.runtime.wire import WireError, decode, encode


def array_of(dtype, num_dims=1):
    shapes = arrays.array_shapes(min_dims=num_dims, max_dims=num_dims, min_side=0, max_side=9)
    return arrays.arrays(dtype, shapes)


def record_of(kind, **fields):
    """Records of a kind, every field drawn as its annotation says unless it is given."""
    drawn = {f.name: fields.get(f.name, FIELDS.get(f.type)) for f in msgspec.structs.fields(kind)}
    assert None not in drawn.values(), drawn
    return st.builds(kind, **drawn)


INT64 = st.integers(-(2**63), 2**63 - 1)
FIELDS = {I32: array_of(np.int32), I64: array_of(np.int64), F32: array_of(np.float32)}
FIELDS |= {int: INT64, float: st.floats(), bool: st.booleans(), int | None: st.none() | INT64}
TABLE, MASK = array_of(np.int32, 2), array_of(np.int32)
EDITS = record_of(Edits)
SAMPLING = record_of(Sampling, edits=st.none() | EDITS, mask=st.none() | MASK)
ARRIVAL = record_of(Arrival, sampling=SAMPLING)
LOGPROBS = record_of(Logprobs, top_token_ids=TABLE, top=array_of(np.float32, 2))
RESULT = record_of(StepResult, logprobs=st.none() | LOGPROBS)
FRAME = record_of(
    Frame,
    block_tables=st.lists(TABLE, max_size=3).map(tuple),
    arrivals=st.lists(ARRIVAL, max_size=3).map(tuple),
    masks=st.lists(st.tuples(INT64, MASK), max_size=3).map(tuple),
)


def same(a, b):
    """Equal to the bit, also in dtype and shape and where there is a NaN."""
    assert type(a) is type(b)
    if isinstance(a, msgspec.Struct):
        return all(same(getattr(a, f), getattr(b, f)) for f in a.__struct_fields__)
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


@given(FRAME | RESULT | ARRIVAL | SAMPLING | EDITS | LOGPROBS)
def test_what_is_sent_arrives(record):
    assert same(decode(encode(record), type(record)), record)


def test_an_array_that_is_a_view_with_gaps_arrives():
    logits = np.arange(24, dtype=np.float32).reshape(4, 6)
    sent = Logprobs(logits[::2, 0], np.int32([1, 2]), np.zeros((2, 0), np.int32), logits[:2, ::3].T)
    assert same(decode(encode(sent), Logprobs), sent)


def test_what_arrives_cannot_be_written_to():
    found = decode(encode(StepResult(0, np.int32([1, 2]))), StepResult)
    with pytest.raises(ValueError, match="read-only"):
        found.token_ids[0] = 3


def message(array):
    return msgspec.msgpack.encode({"step_id": 0, "token_ids": array})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no StepResult"),
        (b"\xff", "no StepResult"),
        (message(5), "token_ids"),
        (message(["<i8", [1], b"12345678"]), "'<i8' where '<i4' belongs.*token_ids"),
        (message(["O", [1], b"12345678"]), "'O' where"),
        (message(["<i4", [3], b"12345678"]), "token_ids"),
        (message(["<i4", [1, 1, 2], b"12345678"]), "token_ids"),
        (message(["<i4", [-2, -1], b"12345678"]), "token_ids"),
        (message(["<i4", [2**62, 4], b"12345678"]), "token_ids"),
        (message(["<i4", [2], b"1234567"]), "token_ids"),
        (message(["<i4", [2], "12345678"]), "token_ids"),
        (message(["<i4", [2], b"12345678", 1]), "token_ids"),
        (msgspec.msgpack.encode({"step_id": "0", "token_ids": ["<i4", [0], b""]}), "step_id"),
        (msgspec.msgpack.encode({"step_id": 0}), "token_ids"),
        (b"\x81\xa2\xff\xff\x00", "no StepResult"),
    ],
)
def test_anything_else_is_refused_naming_the_field(data, reason):
    with pytest.raises(WireError, match=reason):
        decode(data, StepResult)


@given(FRAME, st.data())
def test_a_damaged_message_is_refused_or_is_another_record(frame, data):
    sent = bytearray(encode(frame))
    place = data.draw(st.integers(0, len(sent) - 1))
    sent[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WireError):
        assert isinstance(decode(bytes(sent), Frame), Frame)


def test_only_records_are_sent():
    with pytest.raises(AssertionError, match="cannot be sent"):
        encode(StepResult(0, object()))
