"""Truncated, overlapping, lying and pickled weight files: refused before a byte is used."""

import io
import json
import pickle
import resource

import numpy as np
import pytest
import torch
from checkpoint_files import TENSORS, entries_and_data, safetensors_bytes, write_checkpoint
from hypothesis import example, given
from hypothesis import strategies as st

from tapeout.errors import CheckpointError
from tapeout.frontend.checkpoint import Checkpoint
from tapeout.frontend.safetensors_header import read_header

ENTRIES, DATA = entries_and_data()
GOOD = safetensors_bytes(ENTRIES, DATA)


def refused(folder, content):
    """The error for a weight file of that content."""
    file = write_checkpoint(folder / "c") / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        Checkpoint.open(folder / "c")
    assert error.value.file == str(file)
    assert str(error.value).isprintable() and len(str(error.value)) < 1000
    return error.value


def changed(name="model.q.weight", **fields):
    """The good file with fields of one tensor replaced."""
    return safetensors_bytes(ENTRIES | {name: ENTRIES[name] | fields}, DATA)


def test_a_file_cut_at_any_byte_is_refused(tmp_path):
    for length in range(len(GOOD)):
        error = refused(tmp_path, GOOD[:length])
        assert error.field in ("bytes", "header length") or "data_offsets" in error.field


def test_a_file_cut_at_every_4_kib_and_at_the_last_byte_is_refused(tmp_path):
    content = safetensors_bytes(*entries_and_data({"w": np.ones((64, 256), np.float32)}))
    for length in [*range(0, len(content), 4096), len(content) - 1]:
        refused(tmp_path, content[:length])


def test_bytes_after_the_last_tensor_are_refused(tmp_path):
    error = refused(tmp_path, GOOD + b"\0")
    assert (error.field, error.found) == ("bytes", len(GOOD) + 1)


@pytest.mark.parametrize("length", [0, 1, 7, 2**31, 2**63, 2**64 - 1, len(GOOD) - 7])
def test_a_header_length_that_lies_is_refused_with_its_value(tmp_path, length):
    error = refused(tmp_path, safetensors_bytes(ENTRIES, DATA, length))
    if length != 7:
        assert (error.field, error.found) == ("header length", length)


def test_a_header_of_200_mib_is_refused_without_reading_it(tmp_path):
    file = write_checkpoint(tmp_path / "c") / "model.safetensors"
    with file.open("wb") as sparse:
        sparse.write((200 << 20).to_bytes(8, "little"))
        sparse.truncate(300 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        CheckpointError, match="header length: found 209715200, wanted 2 to 100000000"
    ):
        read_header(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


HEADERS = {
    "not JSON": b"{...}",
    "not UTF-8": b'{"\xff": 1}',
    "a list": b"[1]",
    "padding of zeros": json.dumps(ENTRIES).encode() + b"\0\0",
    "a tensor that is a list": b'{"w": [1]}',
    "a tensor twice": b'{"w": {}, "w": {}}',
    "metadata of numbers": b'{"__metadata__": {"a": 1}}',
    "metadata that is a list": b'{"__metadata__": []}',
    "deep": b'{"w": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_not_one_is_refused(tmp_path, header):
    refused(tmp_path, safetensors_bytes(header, b""))


FIELDS = {
    "an unknown dtype": {"dtype": "COMPLEX"},
    "a dtype that is a number": {"dtype": 4},
    "another dtype": {"dtype": "F32"},
    "a shape that is larger": {"shape": [4, 7]},
    "a shape that is smaller": {"shape": [4, 5]},
    "a shape whose product overflows 64 bits": {"shape": [2**62, 2**62, 2**62]},
    "a shape whose product wraps around to the right one": {"shape": [2**61 + 3, 8]},
    "a negative dimension": {"shape": [-4, -6]},
    "a dimension that is true": {"shape": [True, 24]},
    "a dimension that is a fraction": {"shape": [4.0, 6]},
    "a dimension of 2**63": {"shape": [2**63]},
    "a dimension of 0": {"shape": [0, 6]},
    "a rank of a million": {"shape": [1] * 10**6},
    "a shape that is a number": {"shape": 24},
    "offsets beyond the file": {"data_offsets": [32, 32 + 10**6]},
    "offsets that run backwards": {"data_offsets": [224, 32]},
    "negative offsets": {"data_offsets": [-192, 0]},
    "three offsets": {"data_offsets": [32, 100, 224]},
    "offsets that are texts": {"data_offsets": ["32", "224"]},
    "a field more": {"stride": [6, 1]},
}


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
def test_a_tensor_that_lies_is_refused_by_name(tmp_path, fields):
    error = refused(tmp_path, changed(**fields))
    assert "model.q.weight" in error.field


@pytest.mark.parametrize("field", ["dtype", "shape", "data_offsets"])
def test_a_tensor_with_a_field_less_is_refused(tmp_path, field):
    less = {key: value for key, value in ENTRIES["model.q.weight"].items() if key != field}
    error = refused(tmp_path, safetensors_bytes(ENTRIES | {"model.q.weight": less}, DATA))
    assert error.field == "model.q.weight"


def test_tensors_that_overlap_are_refused(tmp_path):
    error = refused(tmp_path, changed(data_offsets=[24, 216]))
    assert "which overlaps the tensor before it" in str(error)


def test_a_hole_between_tensors_is_refused(tmp_path):
    error = refused(tmp_path, changed("model.norm.weight", shape=[7], data_offsets=[4, 32]))
    assert "which leaves a hole" in str(error)


def test_two_tensors_on_the_same_bytes_are_refused(tmp_path):
    twin = ENTRIES | {"twin": ENTRIES["model.q.weight"]}
    assert "overlaps" in str(refused(tmp_path, safetensors_bytes(twin, DATA)))


@pytest.mark.parametrize("kind", ["zip", "old", "protocol_2", "protocol_5"])
def test_a_pickle_renamed_is_refused_as_what_it_is(tmp_path, kind):
    buffer = io.BytesIO()
    if kind in ("zip", "old"):
        torch.save({"w": torch.ones(2)}, buffer, _use_new_zipfile_serialization=kind == "zip")
    else:
        buffer.write(pickle.dumps({"w": [1]}, protocol=int(kind[-1])))
    error = refused(tmp_path, buffer.getvalue())
    assert (error.field, error.found) == ("format", "a pickle (torch.save)")
    assert "save_pretrained" in str(error)


@given(st.binary(max_size=200))
@example(b"")
def test_no_bytes_at_all_lead_to_another_error(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    file.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_header(file)


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_a_flipped_bit_is_refused_or_stays_within_the_file(tmp_path_factory, bit):
    content = bytearray(GOOD)
    content[bit // 8] ^= 1 << bit % 8
    file = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    file.write_bytes(content)
    try:
        tensors = read_header(file)
    except CheckpointError:
        return
    assert len(tensors) >= len(TENSORS) - 1  # a name may have become __metadata__, or another one
    spans = sorted((info.offset, info.offset + info.bytes) for info in tensors.values())
    assert spans[-1][1] == len(content)
    assert all(a[1] == b[0] for a, b in zip(spans, spans[1:], strict=False))
