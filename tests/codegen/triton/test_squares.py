"""Squares of rows that the kernel which makes them gives, and products that take them."""

from functools import cache

import pytest
import torch
from models import tiny_config
from region_kernels import relative_error
from triton_regions import INVARIANT, VARIANTS, TritonRegion

from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.program import compile_gpu_program
from tapeout.codegen.triton.squares import carries_squares
from tapeout.errors import BuildError
from tapeout.frontend.trace import trace_config
from tapeout.ir.types import DType
from tapeout.ir.verify import verify
from tapeout.passes.pipeline import GPU_STAGES
from tapeout.passes.run import run_stages

TOLERANCE = {"f32": 2e-6, "bf16": 8e-3}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
MANY = (Steps("rows64", 64), Steps("rows256", 256), Steps("rows512", 512), Steps("any"))
TOKENS = {"rows64": (33, 64), "rows256": (65, 190), "rows512": (257,), "any": (300,)}
SIZES = [(steps, tokens) for steps in MANY for tokens in TOKENS[steps.name]]
sizes = pytest.mark.parametrize(("steps", "tokens"), SIZES, ids=lambda x: getattr(x, "name", x))

GIVES = """
func @linear_add(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %r: {d}[T, {n}]) {{anchor = "linear"}} {{
  %y: {d}[T, {n}] = linear(%x, %w)
  %z: {d}[T, {n}] = add(%r, %y)
  %s: f32[T, {p}] = sum_squares(%z) {{width = 64}}
  return %z, %s
}}
"""
TAKES = """
func @gated(%h: {d}[T, {k}], %q: f32[T, {p}], %w: {d}[{n}, {k}], %v: {d}[{n}, {k}])
    {{anchor = "linear"}} {{
  %x: {d}[T, {k}] = norm_by_squares(%h, %q) {{eps = 1e-05}}
  %g: {d}[T, {n}] = linear(%x, %w)
  %s: {d}[T, {n}] = silu(%g)
  %u: {d}[T, {n}] = linear(%x, %v)
  %y: {d}[T, {n}] = mul(%s, %u)
  return %y
}}
"""
ROWS = """
func @gather(%i: i32[T], %t: bf16[50, {n}], %a: bf16[]) {{anchor = "rows"}} {{
  %h: bf16[T, {n}] = gather_rows(%t, %i)
  %z: bf16[T, {n}] = mul(%h, %a)
  %s: f32[T, {p}] = sum_squares(%z) {{width = 64}}
  return %z, %s
}}
"""


def random(dtype, *shape):
    return (torch.randn(*shape) / shape[-1] ** 0.5).to(DTYPES[dtype])


def squares_of(rows):
    return torch.stack([part.float().pow(2).sum(-1) for part in rows.split(64, -1)], -1)


def check_squares(rows, squares):
    """They are of the rows as they are stored, to the bit of what is added up."""
    assert relative_error(squares, squares_of(rows)) <= 2e-6


@sizes
@pytest.mark.parametrize(
    ("dtype", "n", "k"), [("bf16", 200, 1024), ("bf16", 64, 72), ("f32", 90, 33)]
)
def test_a_product_gives_the_squares_of_what_it_stores(dtype, n, k, steps, tokens):
    torch.manual_seed(0)
    region = TritonRegion(GIVES.format(d=dtype, n=n, k=k, p=-(-n // 64)), steps)
    arguments = [random(dtype, tokens, k) * k**0.5, random(dtype, n, k), random(dtype, tokens, n)]
    found, squares = region.run(arguments, {"T": tokens})
    wanted, _ = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= TOLERANCE[dtype]
    check_squares(found, squares)


@sizes
@pytest.mark.parametrize(
    ("dtype", "n", "k"),
    [("bf16", 90, 1024), ("bf16", 90, 200), ("bf16", 40, 8200), ("f32", 50, 33)],
)
def test_a_product_scales_its_rows_by_squares_that_are_there(dtype, n, k, steps, tokens):
    torch.manual_seed(0)
    region = TritonRegion(TAKES.format(d=dtype, n=n, k=k, p=-(-k // 64)), steps)
    x = random(dtype, tokens, k) * 3 * torch.rand(tokens, 1).to(DTYPES[dtype])
    arguments = [x, squares_of(x), random(dtype, n, k), random(dtype, n, k)]
    assert len(region.emitted.kernels) == 1
    [found] = region.run(arguments, {"T": tokens})
    [wanted] = region.reference(arguments, {"T": tokens})
    assert relative_error(found, wanted) <= 2 * TOLERANCE[dtype]


@pytest.mark.parametrize("n", [24, 64, 160, 1024])
def test_rows_that_are_gathered_give_their_squares(n):
    torch.manual_seed(0)
    region = TritonRegion(ROWS.format(n=n, p=-(-n // 64)), MANY[-1])
    arguments = [
        torch.randint(50, (40,)).int(),
        random("bf16", 50, n),
        torch.tensor(1.7).bfloat16(),
    ]
    found, squares = region.run(arguments, {"T": 40})
    wanted, _ = region.reference(arguments, {"T": 40})
    assert relative_error(found, wanted) <= TOLERANCE["bf16"]
    check_squares(found, squares)


@pytest.mark.parametrize("steps", [VARIANTS[0], VARIANTS[1], *INVARIANT], ids=lambda s: s.name)
def test_few_rows_and_invariant_steps_go_without_squares(steps):
    torch.manual_seed(0)
    assert not carries_squares(steps)
    tokens, n, k = min(steps.max_rows or 70, 70), 90, 128
    gives = TritonRegion(GIVES.format(d="bf16", n=n, k=k, p=2), steps)
    x, r = random("bf16", tokens, k) * 8, random("bf16", tokens, n)
    _, untouched = gives.run([x, random("bf16", n, k), r], {"T": tokens})
    assert (untouched == 7).all()
    takes = TritonRegion(TAKES.format(d="bf16", n=n, k=k, p=2), steps)
    weights = [random("bf16", n, k) for _ in range(2)]
    [found] = takes.run([x, torch.full((tokens, 2), torch.nan), *weights], {"T": tokens})
    [wanted] = takes.reference([x, squares_of(x), *weights], {"T": tokens})
    assert relative_error(found, wanted) <= 2 * TOLERANCE["bf16"]


def test_a_tile_narrower_than_a_sum_of_squares_is_refused():
    text, steps = GIVES.format(d="bf16", n=256, k=256, p=4), MANY[0]
    region = TritonRegion(text, steps)
    chosen = region.emitted.choice.chosen
    assert chosen.columns >= 64
    narrow = {"rows": 64, "columns": 32, "depth": 64, "num_warps": 4, "num_stages": 3}
    with pytest.raises(BuildError, match="the squares of 64 columns are one sum"):
        TritonRegion(text, steps, narrow)


@pytest.mark.parametrize("tape", ["step.decode64", "step.decode128", "step.decode256"])
def test_a_layer_of_64_rows_takes_5_launches(tape):
    """The norms before attention and before the gated product are none of their own."""
    fewer, more = (len(llama_tapes(num_layers)[tape]["launches"]) for num_layers in (3, 4))
    assert more - fewer == 5


@cache
def llama_tapes(num_layers):
    config = tiny_config("llama", num_hidden_layers=num_layers)
    module = run_stages(verify(trace_config(config, DType.BF16)), GPU_STAGES)[0]
    return compile_gpu_program(module, "cuda:sm_90").tapes
