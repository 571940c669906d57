import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from checkpoint_files import write_checkpoint

from tapeout.errors import CheckpointError
from tapeout.frontend.dummy_checkpoint import DummyCheckpoint
from tapeout.frontend.weights import TRANSFORMS, stream_weights
from tapeout.ir.types import DType, TensorType
from tapeout.ir.weights import STEPS, Step, Weight, checkpoint

A = torch.arange(12, dtype=torch.float32).reshape(3, 4)
B = -torch.arange(8, dtype=torch.float32).reshape(2, 4)


class Source:
    """Tensors in memory; remembers which are in use."""

    def __init__(self, **tensors):
        self.config = {}
        self.tensors = tensors
        self.in_use = set()

    def read(self, name):
        self.in_use.add(name)
        return self.tensors[name]

    def release(self, name):
        self.in_use.discard(name)


def run(program, type, packers=None, allow_nonfinite=False, **tensors):
    """The one tensor that a program gives."""
    source = Source(**(tensors or {"a": A, "b": B}))
    weight = Weight("w", type, program)
    ((_, tensor),) = stream_weights([weight], source, packers, allow_nonfinite)
    assert not source.in_use
    return tensor


def f32(*shape):
    return TensorType.of("f32", *shape)


a, b = checkpoint("a"), checkpoint("b")
PROGRAMS = {
    "checkpoint": (a, A),
    "constant": (Step("constant", (), (DType.F32, (1, 2), "0000803f000000c0")), [[1.0, -2.0]]),
    "cast": (Step("cast", (Step("cast", (a,), (DType.I32,)),), (DType.F32,)), A),
    "transpose": (Step("transpose", (a,), ((1, 0),)), A.T),
    "reshape": (Step("reshape", (a,), ((2, 6),)), A.reshape(2, 6)),
    "slice": (Step("slice", (a,), (1, 1, 4, 2)), A[:, 1:4:2]),
    "concat": (Step("concat", (a, b, a), (0,)), torch.cat([A, B, A])),
    "stack": (Step("stack", (a, a), (1,)), torch.stack([A, A], 1)),
    "add": (Step("add", (a,), (1.0,)), A + 1),
    "multiply": (Step("multiply", (a,), (0.5,)), A * 0.5),
    "multiply_columns": (
        Step("multiply_columns", (a, Step("slice", (b,), (0, 0, 1, 1))), (1.0,)),
        A * (1 + B[:1]),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_step_gives_what_its_line_in_the_table_says(name):
    program, wanted = PROGRAMS[name]
    wanted = torch.as_tensor(wanted)
    assert torch.equal(run(program, f32(*wanted.shape)), wanted)


def test_every_step_that_does_not_pack_is_known():
    packing = {name for name in STEPS if name.startswith(("pack_", "pair_"))}
    assert set(TRANSFORMS) | {"checkpoint"} == set(STEPS) - packing == set(PROGRAMS)


def test_a_step_of_a_target_is_run_through_the_targets_own_table():
    packers = {"pack_rows16": lambda x: x.flip(0)}
    assert torch.equal(run(Step("pack_rows16", (a,)), f32(3, 4), packers), A.flip(0))


def test_floats_are_rounded_to_the_type_of_the_weight_before_they_are_packed():
    seen = []
    packers = {"pack_rows16": lambda x: seen.append(x.dtype) or x}
    run(Step("pack_rows16", (a,)), TensorType.of("bf16", 3, 4), packers)
    assert seen == [torch.bfloat16]
    values = torch.tensor([1 + 2**-9, 1 + 3 * 2**-9])
    rounded = run(checkpoint("x"), TensorType.of("bf16", 2), x=values)
    assert rounded.tolist() == [1.0, 1 + 2**-7]  # to nearest, to even when between


def test_members_of_a_family_come_in_order_under_their_names():
    source = Source(**{f"h.{i}.w": torch.full((2,), float(i)) for i in range(6)})
    weight = Weight("odd.w", f32(2), checkpoint("h.{2*i+1}.w"), count=3)
    found = {name: tensor[0].item() for name, tensor in stream_weights([weight], source)}
    assert found == {"odd.w/0": 1.0, "odd.w/1": 3.0, "odd.w/2": 5.0}
    assert list(found) == [name for name, _ in weight.members()]


def test_one_tensor_at_a_time_is_held():
    source = Source(a=A, b=B)
    weights = [Weight("x", f32(3, 4), a), Weight("y", f32(2, 4), b)]
    held = [set(source.in_use) for _ in stream_weights(weights, source)]
    assert held == [{"a"}, {"b"}]


def test_a_shape_other_than_the_configurations_is_refused_naming_both():
    with pytest.raises(CheckpointError, match=r"a: shape of w: found \[3, 4\], wanted \[4, 3\]"):
        run(a, f32(4, 3))
    with pytest.raises(CheckpointError, match=r"a, b: stack: found \[3, 4\], \[2, 4\]"):
        run(Step("stack", (a, b), (0,)), f32(2, 3, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("position", [0, 1003, 2010])
def test_a_value_that_is_not_finite_is_refused_with_its_place(dtype, value, position):
    x = torch.randn(2011, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[position] = value
    with pytest.raises(CheckpointError, match=f"x: value {position}: found {value}"):
        run(checkpoint("x"), f32(2011), x=x)
    run(checkpoint("x"), f32(2011), allow_nonfinite=True, x=x)


_PEAK = """
import re, sys
from pathlib import Path
from tapeout.codegen.packing import PACKERS
from tapeout.frontend.checkpoint import Checkpoint
from tapeout.frontend.weights import stream_weights
from tapeout.ir.types import TensorType
from tapeout.ir.weights import Step, Weight, checkpoint

def peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])

source = Checkpoint.open(sys.argv[1])
program = Step("concat", (checkpoint("h.{i}.a"), checkpoint("h.{i}.b")), (0,))
packed = TensorType.of("bf16", 512, 512, 16, 2)
weight = Weight("w", packed, Step("pack_rows16", (program,)), count=6)
tiny = Weight("tiny", TensorType.of("bf16", 1, 2, 16, 2), Step("pack_rows16", (checkpoint("t"),)))

def use_up(weight):
    for name, tensor in stream_weights([weight], source, PACKERS):
        del tensor

use_up(tiny)
Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here again
before = peak_bytes()
use_up(weight)
print(peak_bytes() - before)
"""


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_packing_takes_no_more_memory_than_three_times_the_largest_tensor(tmp_path, dtype):
    half = np.ones((4096, 1024), dtype)
    tensors = {f"h.{i}.{part}": half for i in range(6) for part in "ab"}
    folder = write_checkpoint(tmp_path / "c", tensors | {"t": np.ones((16, 4), dtype)})
    command = [sys.executable, "-c", _PEAK, str(folder)]
    # As for tensors of full size, whose memory goes back to the system at once.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    peak = int(done.stdout)
    largest = 2 * half.nbytes  # as the checkpoint stores what makes one tensor
    assert largest // 2 < peak <= 3 * largest + (4 << 20)


SHAPES = {"norm": (torch.float32, (4096,)), "w": (torch.bfloat16, (64, 65)), "n": (torch.int64, ())}


def test_dummy_weights_depend_on_name_and_seed_alone():
    first, again, other = (DummyCheckpoint({}, SHAPES, seed) for seed in (0, 0, 1))
    shuffled = DummyCheckpoint({}, dict(reversed(SHAPES.items())))
    assert torch.equal(first.read("w"), again.read("w"))
    assert torch.equal(first.read("w"), shuffled.read("w"))
    assert not torch.equal(first.read("w"), other.read("w"))


def test_dummy_weights_are_small_around_zero_and_norms_around_one():
    dummy = DummyCheckpoint({}, SHAPES)
    norm, w, n = dummy.read("norm"), dummy.read("w"), dummy.read("n")
    assert norm.mean().item() == pytest.approx(1, abs=0.002)
    assert w.float().mean().item() == pytest.approx(0, abs=0.002)
    assert w.float().std().item() == pytest.approx(0.02, rel=0.1)
    assert (w.dtype, w.shape, n.item()) == (torch.bfloat16, (64, 65), 0)
