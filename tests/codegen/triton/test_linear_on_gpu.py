"""Products whose operands come by tensor maps, as the machine computes them."""

import numpy as np
import pytest
import torch
from device_buffers import DeviceBuffers
from region_kernels import relative_error

from tapeout import settings
from tapeout.artifact import GridTerm, Launch, Tape
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.emit import emit_region
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.player import build_cuda_player
from tapeout.ir.parser import parse_function
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.cuda.memory import Places
from tapeout.runtime.cuda.tapes import LoadedKernel, TapeForm

pytestmark = pytest.mark.gpu
TARGET = "cuda:sm_90"
LINEAR = """
func @linear_add(%x: bf16[T, {k}], %w: bf16[{n}, {k}], %b: bf16[{n}], %r: bf16[T, {n}])
    {{anchor = "linear"}} {{
  %y: bf16[T, {n}] = linear(%x, %w, %b)
  %z: bf16[T, {n}] = add(%r, %y)
  return %z
}}
"""
GATED = """
func @gated(%x: bf16[T, {k}], %w: bf16[{n}, {k}], %v: bf16[{n}, {k}]) {{anchor = "linear"}} {{
  %g: bf16[T, {n}] = linear(%x, %w)
  %s: bf16[T, {n}] = silu(%g)
  %u: bf16[T, {n}] = linear(%x, %v)
  %y: bf16[T, {n}] = mul(%s, %u)
  return %y
}}
"""
UNTOUCHED = 7.0


@pytest.fixture
def device(tmp_path):
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("there is no GPU of Hopper's kind")
    build_cuda_player(settings.CACHE.get() / "objects", tmp_path / "player.so")
    opened = Device(tmp_path / "player.so")
    opened.start()
    yield opened
    opened.close()


class GpuRegion:
    """A region of one kernel on the device, for steps of up to ``bound`` rows."""

    def __init__(self, device, text, steps, operands, n, bound):
        emitted = emit_region(parse_function(text), steps)
        [kernel] = emitted.kernels
        assert kernel.boxes, "its operands are read by pointers"
        made = compile_kernels({"kernel": kernel}, TARGET, settings.CACHE.get() / "objects")
        code = made["kernel"].cubin.read_bytes()
        facts = made["kernel"].entry, made["kernel"].num_warps, made["kernel"].shared_bytes
        number = device.add_kernel(code, *facts, begins_early=False)
        self.device, self.memory = device, DeviceBuffers(device)
        self.operands = [self.memory.add(_bits(tensor)) for tensor in operands]
        self.result = self.memory.add(_bits(torch.full((bound, n), UNTOUCHED)))
        sizes = [size.evaluate({"T": bound}) for size in emitted.workspaces]
        spaces = [self.memory.add(np.zeros(size, np.uint8)) for size in sizes]
        launch = Launch(
            kernel="kernel",
            buffers=[*self.operands, self.result, *spaces],
            scalars=[scalar.to_json() for scalar in kernel.scalars],
            grid=[GridTerm(t.extent, t.divisor, t.factor) for t in kernel.grid],
        )
        loaded = {"kernel": LoadedKernel(number, made["kernel"].maps)}
        form = TapeForm(Tape(launches=[launch]), loaded)
        self.tape = form.bind(device, self.memory, Places({}, {}))

    def run(self, tokens):
        """All rows of the result after a step."""
        self.device.run_tape(self.tape, (tokens, 1, 1, 1))
        bits = torch.from_numpy(self.memory.fetch(self.result))
        return bits.view(torch.bfloat16).float()


def _bits(tensor):
    return tensor.to(torch.bfloat16).view(torch.int16).numpy()


def random(*shape):
    return (torch.randn(*shape) / shape[-1] ** 0.5).to(torch.bfloat16).float()


BOUND = 700
SIZES = {
    "512": (Steps("rows512", 512), 512),
    "1024": (Steps("rows1024", 1024), BOUND),
    "any": (Steps("any"), BOUND),
}


@pytest.mark.parametrize("size", ["512", "1024", "any"])
@pytest.mark.parametrize(("n", "k"), [(520, 200), (2048, 2048), (300, 8192), (24, 40)])
@pytest.mark.parametrize("text", [LINEAR, GATED], ids=["linear", "gated"])
def test_a_product_of_ragged_rows_reads_nothing_of_stale_ones(device, text, n, k, size):
    torch.manual_seed(0)
    steps, bound = SIZES[size]
    x, w, v = random(bound, k) * k**0.5, random(n, k), random(n, k)
    b, r = random(n), random(bound, n)
    for tokens in (bound, bound - 1, 130, 1):
        stale = torch.arange(bound)[:, None] >= tokens
        operands = [x.masked_fill(stale, float("nan")), w]
        operands += [b, r.masked_fill(stale, float("nan"))] if text is LINEAR else [v]
        region = GpuRegion(device, text.format(n=n, k=k), steps, operands, n, bound)
        for _ in range(2):  # the second finds what the first has left
            found = region.run(tokens)
        if text is LINEAR:
            wanted = r + (x @ w.T + b).to(torch.bfloat16).float()
        else:
            wanted = torch.nn.functional.silu(x @ w.T) * (x @ v.T)
        assert relative_error(found[:tokens], wanted[:tokens]) <= 8e-3
        assert (found[tokens:] == UNTOUCHED).all()
