from functools import cache

import numpy as np
import pytest
import torch
from region_kernels import Region

RANGES = {
    "exp": (-100, 88),
    "log": (1e-30, 1e30),
    "tanh": (-12, 12),
    "erf": (-5, 5),
    "sin": (-100_000, 100_000),
    "cos": (-100_000, 100_000),
    "sqrt": (0, 1e10),
    "rsqrt": (1e-10, 1e10),
    "sigmoid": (-80, 80),
    "floor": (-1000, 1000),
    "abs": (-10, 10),
}
MAX_ULPS = 4
SPECIAL = ["exp", "log", "tanh", "erf", "sigmoid", "silu", "gelu_tanh"]
OPS = [*RANGES, *SPECIAL[5:]]


@cache
def functions(level):
    """One region that applies every function to its operand: the results are in OPS's order."""
    nodes = "".join(f"  %{op}: f32[T, 512] = {op}(%x)\n" for op in OPS)
    results = ", ".join(f"%{op}" for op in OPS)
    head = 'func @f(%x: f32[T, 512]) {anchor = "rows"} {\n'
    return Region(f"{head}{nodes}  return {results}\n}}", level)


def sample_of(low, high):
    rng = np.random.default_rng(0)
    if low > 0:
        values = np.exp(rng.uniform(np.log(low), np.log(high), 64 * 512))
    else:
        values = rng.uniform(low, high, 64 * 512)
    near_zero = values * 1e-3
    mixed = np.where(rng.random(values.size) < 0.7, values, np.clip(near_zero, low, high))
    return torch.from_numpy(mixed.astype(np.float32).reshape(64, 512))


@pytest.mark.parametrize("op", RANGES)
def test_a_function_is_within_a_few_units_in_the_last_place(level, op):
    x = sample_of(*RANGES[op])
    region, place = functions(level), OPS.index(op)
    found = region.run([x], {"T": 64})[place]
    wanted = region.reference([x.double()], {"T": 64})[place]
    unit = np.spacing(np.abs(wanted.numpy()).astype(np.float32)).astype(np.float64)
    assert float((np.abs(found.double().numpy() - wanted.numpy()) / unit).max()) <= MAX_ULPS


@pytest.mark.parametrize("op", SPECIAL)
def test_special_values_are_those_of_torch(level, op):
    x = torch.zeros(1, 512)
    x[0, :7] = torch.tensor([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan")])
    region, place = functions(level), OPS.index(op)
    found = region.run([x], {"T": 1})[place]
    wanted = region.reference([x], {"T": 1})[place]
    assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-7, equal_nan=True)


def test_a_store_as_bf16_rounds_to_nearest_even(level):
    text = """
func @f(%x: f32[T, 512]) {anchor = "rows"} {
  %y: bf16[T, 512] = cast(%x) {dtype = bf16}
  return %y
}"""
    x = torch.randn(64, 512) * 10 ** torch.randint(-20, 20, (64, 512)).float()
    x[0, :4] = torch.tensor([1.00390625, 1.01171875, float("inf"), float("nan")])
    [found] = Region(text, level).run([x], {"T": 64})
    assert torch.equal(found.nan_to_num(7.0), x.bfloat16().nan_to_num(7.0))
