"""Products whose operands come by tensor maps, as the machine computes them."""

import numpy as np
import pytest
import torch
from device_buffers import DeviceBuffers
from region_kernels import relative_error
from region_texts import GATED, LINEAR

from tapeout import settings
from tapeout.artifact import GridTerm, Launch, Tape
from tapeout.codegen.triton.choice import fields_of
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.emit import emit_region, gpu_key
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.player import build_cuda_player
from tapeout.codegen.triton.streams import Stream
from tapeout.codegen.triton.targets import TARGETS
from tapeout.ir.parser import parse_function
from tapeout.runtime.cuda.device import Device
from tapeout.runtime.cuda.memory import Places
from tapeout.runtime.cuda.tapes import LoadedKernel, TapeForm

pytestmark = pytest.mark.gpu
TARGET = "cuda:sm_90"
NORMED = GATED.replace("  %g:", "  %n: bf16[T, {k}] = rms_norm(%x) {{eps = 1e-05}}\n  %g:").replace(
    "linear(%x", "linear(%n"
)
SCALED = """
func @scaled(%h: bf16[T, {k}], %q: f32[T, {p}], %w: bf16[{n}, {k}], %r: bf16[T, {n}])
    {{anchor = "linear"}} {{
  %x: bf16[T, {k}] = norm_by_squares(%h, %q) {{eps = 1e-05}}
  %y: bf16[T, {n}] = linear(%x, %w)
  %z: bf16[T, {n}] = add(%r, %y)
  %s: f32[T, {m}] = sum_squares(%z) {{width = 64}}
  return %z, %s
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

    def __init__(self, device, text, steps, operands, n, bound, form=None):
        function = parse_function(text)
        tuned = {gpu_key(function, steps): fields_of(form)} if form else {}
        emitted = emit_region(function, steps, tuned)
        [kernel] = emitted.kernels
        assert kernel.boxes, "its operands are read by pointers"
        made = compile_kernels({"kernel": kernel}, TARGET, settings.CACHE.get() / "objects")
        code = made["kernel"].cubin.read_bytes()
        facts = made["kernel"].entry, made["kernel"].num_warps, made["kernel"].shared_bytes
        number = device.add_kernel(code, *facts, begins_early=kernel.begins_early)
        self.device, self.memory = device, DeviceBuffers(device)
        self.operands = [self.memory.add(_bits(tensor)) for tensor in operands]
        self.result = self.memory.add(_bits(torch.full((bound, n), UNTOUCHED)))
        sizes = [size.evaluate({"T": bound}) for size in emitted.workspaces]
        spaces = [self.memory.add(np.zeros(size, np.uint8)) for size in sizes]
        shapes = [(bound, int(value.shape[-1])) for value in function.results[1:]]
        self.squares = [self.memory.add(np.full(s, UNTOUCHED, np.float32)) for s in shapes]
        launch = Launch(
            kernel="kernel",
            buffers=[*self.operands, self.result, *self.squares, *spaces],
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
    if tensor.dtype is torch.float64:  # squares
        return tensor.float().numpy()
    return tensor.to(torch.bfloat16).view(torch.int16).numpy()


def random(*shape):
    return (torch.randn(*shape) / shape[-1] ** 0.5).to(torch.bfloat16).float()


BOUND = 700
SIZES = {
    "512": (Steps("rows512", 512), 512),
    "1024": (Steps("rows1024", 1024), BOUND),
    "any": (Steps("any"), BOUND),
    "any on Hopper": (Steps("any", target=TARGETS[TARGET]), BOUND),
}


@pytest.mark.parametrize("size", SIZES)
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
        region = GpuRegion(device, text.format(d="bf16", n=n, k=k), steps, operands, n, bound)
        for _ in range(2):  # the second finds what the first has left
            found = region.run(tokens)
        if text is LINEAR:
            wanted = r + (x @ w.T + b).to(torch.bfloat16).float()
        else:
            wanted = torch.nn.functional.silu(x @ w.T) * (x @ v.T)
        assert relative_error(found[:tokens], wanted[:tokens]) <= 8e-3
        assert (found[tokens:] == UNTOUCHED).all()


@pytest.mark.parametrize("splits", [1, 2, 8])
@pytest.mark.parametrize("rows", [2, 8, 9, 16, 17, 33, 64])
@pytest.mark.parametrize(("n", "k"), [(1024, 3072), (6144, 1024), (640, 14336), (17408, 2048)])
@pytest.mark.parametrize("text", [LINEAR, NORMED], ids=["linear", "normed"])
def test_a_product_whose_weights_stream_is_that_of_all_its_runs(device, text, n, k, rows, splits):
    torch.manual_seed(0)
    bound, is_plain = 8 << max(0, (rows - 1).bit_length() - 3), text is LINEAR
    if not is_plain and rows > 32:
        text = GATED  # the squares of more rows are there
    steps = Steps(f"rows{bound}", bound, target=TARGETS[TARGET])
    form = Stream(bound, 128 if is_plain and splits == 2 else 64, 64, 8, splits)
    x, w, v = random(bound, k) * k**0.5, random(n, k), random(n, k)
    b, r = random(n), random(bound, n)
    stale = torch.arange(bound)[:, None] >= rows
    operands = [x.masked_fill(stale, float("nan")), w]
    operands += [b, r.masked_fill(stale, float("nan"))] if is_plain else [v]
    region = GpuRegion(device, text.format(d="bf16", n=n, k=k), steps, operands, n, bound, form)
    found = region.run(rows)
    if is_plain:
        wanted = r + (x @ w.T + b).to(torch.bfloat16).float()
    else:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)
        normed = x if text is GATED else x * scale
        wanted = torch.nn.functional.silu(normed @ w.T) * (normed @ v.T)
    assert relative_error(found[:rows], wanted[:rows]) <= 8e-3
    assert (found[rows:] == UNTOUCHED).all()
    assert all(torch.equal(region.run(rows), found) for _ in range(20))


@pytest.mark.parametrize("splits", [1, 2, 4])
@pytest.mark.parametrize("rows", [33, 64])
@pytest.mark.parametrize(("n", "k"), [(1024, 3072), (6144, 1024), (640, 14336), (17408, 2112)])
def test_a_product_whose_weights_stream_takes_and_gives_squares(device, n, k, rows, splits):
    torch.manual_seed(0)
    steps = Steps("rows64", 64, target=TARGETS[TARGET])
    stale = torch.arange(64)[:, None] >= rows
    h, w, r = random(64, k) * 3 * k**0.5, random(n, k), random(64, n)
    squares = h.double().square().unflatten(1, (-1, 64)).sum(-1)
    operands = [h, squares, w, r]
    operands = [x if x is w else x.masked_fill(stale, float("nan")) for x in operands]
    text = SCALED.format(n=n, k=k, p=k // 64, m=n // 64)
    region = GpuRegion(device, text, steps, operands, n, 64, Stream(64, 64, 64, 8, splits))
    found = region.run(rows)
    normed = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-5)
    wanted = r + (normed @ w.T).to(torch.bfloat16).float()
    assert relative_error(found[:rows], wanted[:rows]) <= 8e-3
    sums = torch.from_numpy(region.memory.fetch(region.squares[0]))
    own = found.square().unflatten(1, (-1, 64)).sum(-1)
    assert relative_error(sums[:rows], own[:rows]) <= 2e-6
    assert (found[rows:] == UNTOUCHED).all() and (sums[rows:] == UNTOUCHED).all()
    assert all(torch.equal(region.run(rows), found) for _ in range(20))
