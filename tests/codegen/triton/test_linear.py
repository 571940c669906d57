import re

import pytest
import torch
from region_kernels import relative_error
from region_texts import GATED, LINEAR
from triton_regions import INVARIANT, VARIANTS, TritonRegion

from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.linear import emit_linear
from tapeout.ir.parser import parse_function

# The interpreter of Triton cuts floats off where the machine rounds them.
TOLERANCE = {"f32": 2e-6, "bf16": 8e-3}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def random(dtype, *shape):
    return (torch.randn(*shape) / shape[-1] ** 0.5).to(DTYPES[dtype])


@pytest.mark.parametrize("steps", (*VARIANTS, *INVARIANT), ids=lambda steps: steps.name)
@pytest.mark.parametrize(
    ("dtype", "n", "k"),
    [("f32", 50, 33), ("bf16", 48, 64), ("bf16", 90, 1024), ("f32", 1, 33), ("bf16", 1, 136)],
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


@pytest.mark.parametrize("k", [70, 72], ids=["by pointers", "by boxes"])
@pytest.mark.parametrize("steps", (*VARIANTS, *INVARIANT), ids=lambda steps: steps.name)
def test_a_gated_product_is_that_of_the_interpreter(steps, k):
    torch.manual_seed(0)
    n, tokens = 90, min(steps.max_rows or 200, 13)
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


@pytest.mark.parametrize("steps", (*VARIANTS, *INVARIANT), ids=lambda steps: steps.name)
@pytest.mark.parametrize("text", [NORMED, UNWEIGHTED], ids=["weighted", "unweighted"])
@pytest.mark.parametrize(
    ("dtype", "n", "k"), [("f32", 50, 33), ("bf16", 48, 64), ("f32", 70, 1024), ("f32", 30, 1032)]
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


@pytest.mark.parametrize(("k", "num_launches"), [(33, 1), (1024, 1), (1032, 2), (4096, 2)])
def test_a_row_takes_a_norm_with_a_weight_along_where_its_blocks_have_four_columns(k, num_launches):
    weighted, unweighted = (
        emit_linear(parse_function(text.format(d="bf16", n=64, k=k)), VARIANTS[0])
        for text in (NORMED, UNWEIGHTED)
    )
    assert len(weighted.kernels) == num_launches and len(unweighted.kernels) == 1
    assert (unweighted.choice.chosen.columns >= 4) == (num_launches == 1)


@pytest.mark.parametrize(
    "steps", [VARIANTS[3], Steps("rows512", 512)], ids=["by pointers", "by boxes"]
)
def test_a_product_whose_parts_of_k_are_shared_leaves_its_tickets_at_zero(steps):
    torch.manual_seed(0)
    k = 8192
    region = TritonRegion(LINEAR.format(d="bf16", n=70, k=k), steps)
    arguments = [random("bf16", *s) for s in ((150, k), (70, k), (1, 70), (150, 70))]
    arguments[2] = arguments[2][0]
    [found] = region.run(arguments, {"T": 150})
    [wanted] = region.reference(arguments, {"T": 150})
    assert relative_error(found, wanted) <= TOLERANCE["bf16"]
    [tickets] = region.emitted.tickets
    assert not region.workspaces[tickets].any()


def test_every_tile_is_computed_when_there_are_more_rows_of_tiles_than_are_walked_together():
    torch.manual_seed(0)
    n, k, tokens = 300, 16, 700
    region = TritonRegion(GATED.format(d="bf16", n=n, k=k), VARIANTS[-1])
    arguments = [random("bf16", tokens, k) * k**0.5, *(random("bf16", n, k) for _ in range(2))]
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= TOLERANCE["bf16"]


SQUARE = """
func @square(%x: bf16[T, {k}], %w: bf16[{k}, {k}]) {{anchor = "linear"}} {{
  %y: bf16[T, {k}] = linear(%x, %w)
  %z: bf16[T, {k}] = add(%x, %y)
  return %z
}}
"""


def test_what_the_epilogue_reads_too_is_read_by_pointers():
    torch.manual_seed(0)
    region = TritonRegion(SQUARE.format(k=72), VARIANTS[-1])
    assert not region.emitted.kernels[0].boxes
    arguments = [random("bf16", 150, 72) * 8, random("bf16", 72, 72)]
    [found] = region.run(arguments, {"T": 150})
    [wanted] = region.reference(arguments, {"T": 150})
    assert relative_error(found, wanted) <= TOLERANCE["bf16"]


def test_a_kernel_reads_nothing_but_weights_before_it_has_waited():
    for steps in VARIANTS:
        for text in (LINEAR, GATED, UNWEIGHTED):
            for kernel in TritonRegion(text.format(d="bf16", n=64, k=64), steps).emitted.kernels:
                before, _, after = kernel.body.partition("_await_inputs()")
                read = set(re.findall(r"(?:tl\.load|_box)\((p_\w+)", before))
                assert read <= {"p_w", "p_v"}, kernel.body
                assert "tl.load(" in after or "_box(" in after
