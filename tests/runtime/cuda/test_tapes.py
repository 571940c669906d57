import ctypes
import subprocess

import numpy as np
import pytest
from device_buffers import DeviceBuffers
from fake_cuda_model import executor_of

from tapeout.artifact import Artifact, GridTerm, Launch, SlotBuffer, Tape, TensorMap
from tapeout.artifact.schema import CacheBuffer, InputBuffer, WeightBuffer
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.cuda.errors import CudaError
from tapeout.runtime.cuda.memory import Places
from tapeout.runtime.cuda.tapes import LoadedKernel, TapeForm

ONE = GridTerm({"": 1}, 1, 1)
NOTE = r"""
#include <stdint.h>
int64_t noted[8];
unsigned block_index[3];
const int note_arity = 10;
void note(int64_t before, int64_t map, int32_t rows, int32_t columns, int64_t row_stride,
          int64_t column_stride, int64_t after, int32_t scalar) {
    int64_t all[] = {before, map, rows, columns, row_stride, column_stride, after, scalar};
    for (int i = 0; i < 8; i++) noted[i] = all[i];
}
"""


class FakeMap(ctypes.Structure):
    """What the fake driver was told last of a matrix."""

    _fields_ = [
        ("address", ctypes.c_uint64),
        ("element", ctypes.c_int),
        ("sizes", ctypes.c_uint64 * 2),
        ("row_bytes", ctypes.c_uint64),
        ("box", ctypes.c_uint * 2),
        ("swizzle", ctypes.c_int),
    ]


@pytest.fixture
def opened(driver, fake_cuda):
    artifact = Artifact.open(fake_cuda[0])
    device = Device(artifact.file_path(artifact.manifest.targets["cuda:sm_90"].player))
    device.start()
    yield device
    device.close()


@pytest.fixture(scope="module")
def note(tmp_path_factory):
    """A kernel that notes its parameters, as a library."""
    target = tmp_path_factory.mktemp("note") / "note.so"
    command = ["gcc", "-x", "c", "-", "-shared", "-fPIC", "-o", target]
    subprocess.run(command, input=NOTE, text=True, check=True)
    return ctypes.CDLL(str(target))


def bound(device, note, tensor_map, num_rows):
    """A tape with one launch, its buffers before, in and after the map."""
    number = device.add_kernel(note._name.encode() + b"\0", "note", 1, 0, False)
    memory = DeviceBuffers(device)
    matrix = np.zeros((num_rows, tensor_map.width), np.uint16)
    slots = [memory.add(np.zeros(4)), memory.add(matrix), memory.add(np.zeros(4))]
    launch = Launch(kernel="note", buffers=slots, scalars=[{"T": 1}], grid=[ONE] * 3)
    form = TapeForm(Tape(launches=[launch]), {"note": LoadedKernel(number, [tensor_map])})
    return form.bind(device, memory, Places({}, {})), memory


MAP = TensorMap(buffer=1, dtype="bf16", width=200, box=(128, 64), swizzle=3)


@pytest.mark.parametrize("num_rows", [1, 127, 300])
def test_a_map_has_all_rows_of_its_buffer_and_comes_with_its_sizes(opened, driver, note, num_rows):
    tape, memory = bound(opened, note, MAP, num_rows)
    told = FakeMap.in_dll(driver, "fake_last_map")
    assert told.address == memory.addresses[1] and told.element == 9
    assert list(told.sizes) == [200, num_rows] and told.row_bytes == 400
    assert list(told.box) == [64, 128] and told.swizzle == 3
    opened.run_tape(tape, (77, 1, 1, 1))
    opened.synchronize()
    before, matrix, after = memory.addresses
    noted = list((ctypes.c_int64 * 8).in_dll(note, "noted"))
    assert noted == [before, matrix, num_rows, 200, 200, 1, after, 77]


def test_a_matrix_whose_rows_are_not_aligned_is_refused_by_name(opened, note):
    odd = TensorMap(buffer=1, dtype="bf16", width=201, box=(128, 64), swizzle=3)
    with pytest.raises(CudaError, match="cuTensorMapEncodeTiled"):
        bound(opened, note, odd, 8)


def test_each_kind_of_buffer_says_how_many_bytes_it_holds(driver, fake_cuda):
    executor = executor_of(fake_cuda[0])
    memory, plan = executor._memory, executor.plan
    target = Artifact.open(fake_cuda[0]).manifest.targets["cuda:sm_90"]
    logits = memory.num_bytes(SlotBuffer(target.outputs["logits"]))
    assert logits >= plan.max_logit_rows * executor.vocab_size * 4
    assert memory.num_bytes(WeightBuffer("salt")) == 8
    [group], [num_pages] = target.cache_groups, plan.num_pages
    pages = memory.num_bytes(CacheBuffer(group.name, 1))
    assert pages == num_pages * group.page_bytes_per_layer
    with pytest.raises(AssertionError, match="the input tokens is read by pointers"):
        memory.num_bytes(InputBuffer("tokens"))
    executor.close()
