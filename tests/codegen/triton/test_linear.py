import re

import pytest
import torch
from region_kernels import relative_error
from triton_regions import VARIANTS, TritonRegion

from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.products import NUM_MULTIPROCESSORS, choose_tile, num_blocks
from tapeout.ir.types import DType

# The interpreter of Triton cuts floats off where the machine rounds them.
TOLERANCE = {"f32": 2e-6, "bf16": 8e-3}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}

LINEAR = """
func @linear_add(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %b: {d}[{n}], %r: {d}[T, {n}])
    {{anchor = "linear"}} {{
  %y: {d}[T, {n}] = linear(%x, %w, %b)
  %z: {d}[T, {n}] = add(%r, %y)
  return %z
}}
"""
GATED = """
func @gated(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %v: {d}[{n}, {k}]) {{anchor = "linear"}} {{
  %g: {d}[T, {n}] = linear(%x, %w)
  %s: {d}[T, {n}] = silu(%g)
  %u: {d}[T, {n}] = linear(%x, %v)
  %y: {d}[T, {n}] = mul(%s, %u)
  return %y
}}
"""


def random(dtype, *shape):
    return (torch.randn(*shape) / shape[-1] ** 0.5).to(DTYPES[dtype])


@pytest.mark.parametrize("steps", VARIANTS, ids=lambda steps: steps.name)
@pytest.mark.parametrize(
    ("dtype", "n", "k"), [("f32", 50, 33), ("bf16", 48, 64), ("bf16", 90, 1024)]
)
def test_a_product_with_bias_and_residual_is_that_of_the_interpreter(dtype, n, k, steps):
    torch.manual_seed(0)
    region = TritonRegion(LINEAR.format(d=dtype, n=n, k=k), steps)
    tokens = min(steps.max_rows or 200, 65)
    x, w, b = random(dtype, tokens, k) * k**0.5, random(dtype, n, k), random(dtype, n)
    arguments = [x, w, b, random(dtype, tokens, n)]
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= TOLERANCE[dtype]


@pytest.mark.parametrize("steps", VARIANTS, ids=lambda steps: steps.name)
def test_a_gated_product_is_that_of_the_interpreter(steps):
    torch.manual_seed(0)
    n, k, tokens = 90, 70, min(steps.max_rows or 200, 13)
    region = TritonRegion(GATED.format(d="bf16", n=n, k=k), steps)
    arguments = [random("bf16", tokens, k) * k**0.5, *(random("bf16", n, k) for _ in range(2))]
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= TOLERANCE["bf16"]


NORMED = """
func @normed(%h: {d}[T, {k}], %g: {d}[{k}], %w: {d}[{n}, {k}], %b: {d}[{n}])
    {{anchor = "linear"}} {{
  %x: {d}[T, {k}] = rms_norm(%h, %g) {{eps = 1e-05, offset = 1.0}}
  %y: {d}[T, {n}] = linear(%x, %w, %b)
  return %y
}}
"""
UNWEIGHTED = NORMED.replace(", %g: {d}[{k}]", "").replace("(%h, %g)", "(%h)")
UNWEIGHTED = UNWEIGHTED.replace(", offset = 1.0", "")


@pytest.mark.parametrize("steps", VARIANTS, ids=lambda steps: steps.name)
@pytest.mark.parametrize("text", [NORMED, UNWEIGHTED], ids=["weighted", "unweighted"])
@pytest.mark.parametrize(
    ("dtype", "n", "k"), [("f32", 50, 33), ("bf16", 48, 64), ("f32", 70, 1024)]
)
def test_a_product_of_a_norm_is_that_of_the_interpreter(dtype, n, k, text, steps):
    torch.manual_seed(0)
    region = TritonRegion(text.format(d=dtype, n=n, k=k), steps)
    tokens = min(steps.max_rows or 200, 19)
    x, g = random(dtype, tokens, k) * 3, random(dtype, k)
    arguments = [x, *([g] if text is NORMED else []), random(dtype, n, k), random(dtype, n)]
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= 2 * TOLERANCE[dtype]


def test_a_product_whose_parts_of_k_are_shared_leaves_its_tickets_at_zero():
    torch.manual_seed(0)
    region = TritonRegion(LINEAR.format(d="bf16", n=70, k=2048), Steps("few", 64))
    arguments = [random("bf16", *s) for s in ((50, 2048), (70, 2048), (1, 70), (50, 70))]
    arguments[2] = arguments[2][0]
    [found] = region.run(arguments, {"T": 50})
    [wanted] = region.reference(arguments, {"T": 50})
    assert relative_error(found, wanted) <= TOLERANCE["bf16"]
    [tickets] = region.emitted.tickets
    assert not region.workspaces[tickets].any()


@pytest.mark.parametrize("rows", [2, 16, 17, 64, 256])
@pytest.mark.parametrize("num_weights", [1, 2])
@pytest.mark.parametrize(("n", "k"), [(2048, 2048), (3072, 2048), (4096, 14336), (14336, 4096)])
def test_tiles_of_few_rows_give_most_multiprocessors_a_block_and_divide_k(n, k, num_weights, rows):
    tile = choose_tile(rows, n, k, num_weights, DType.BF16)
    assert num_blocks(tile, rows, n) >= NUM_MULTIPROCESSORS // 2
    assert tile.splits == 1 or k % (tile.splits * tile.depth) == 0
    assert tile.rows >= min(rows, 64)


def test_a_kernel_reads_nothing_but_weights_before_it_has_waited():
    for steps in VARIANTS:
        for text in (LINEAR, GATED, UNWEIGHTED):
            for kernel in TritonRegion(text.format(d="bf16", n=64, k=64), steps).emitted.kernels:
                before, _, after = kernel.body.partition("_await_inputs()")
                read = set(re.findall(r"tl\.load\((p_\w+)", before))
                assert read <= {"p_w", "p_v"}, kernel.body
                assert "tl.load(" in after
