import pytest
import torch
from region_kernels import relative_error
from triton_regions import VARIANTS, TritonRegion

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


@pytest.mark.parametrize("steps", VARIANTS, ids=lambda steps: steps.name)
@pytest.mark.parametrize(("dtype", "n", "k"), [("f32", 50, 33), ("bf16", 48, 64)])
def test_a_product_of_a_norm_is_that_of_the_interpreter(dtype, n, k, steps):
    torch.manual_seed(0)
    region = TritonRegion(NORMED.format(d=dtype, n=n, k=k), steps)
    tokens = min(steps.max_rows or 200, 19)
    x, g = random(dtype, tokens, k) * 3, random(dtype, k)
    arguments = [x, g, random(dtype, n, k), random(dtype, n)]
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= 2 * TOLERANCE[dtype]


def test_a_product_whose_parts_of_k_are_shared_leaves_its_tickets_at_zero():
    torch.manual_seed(0)
    region = TritonRegion(LINEAR.format(d="f32", n=70, k=1024), VARIANTS[3])
    arguments = [random("f32", *s) for s in ((150, 1024), (70, 1024), (1, 70), (150, 70))]
    arguments[2] = arguments[2][0]
    [found] = region.run(arguments, {"T": 150})
    [wanted] = region.reference(arguments, {"T": 150})
    assert relative_error(found, wanted) <= TOLERANCE["f32"]
    [tickets] = region.emitted.tickets
    assert not region.workspaces[tickets].any()
