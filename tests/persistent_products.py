"""Regions of products that blocks which stay can have."""

import torch

from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.targets import TARGETS

TARGET = "cuda:sm_90"
ANY = Steps("any", target=TARGETS[TARGET])
BIASED = """
func @biased(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %b: {d}[{n}]) {{anchor = "linear"}} {{
  %y: {d}[T, {n}] = linear(%x, %w, %b)
  return %y
}}
"""
GATED = """
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
GELU = """
func @gelu(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %b: {d}[{n}]) {{anchor = "linear"}} {{
  %y: {d}[T, {n}] = linear(%x, %w, %b)
  %z: {d}[T, {n}] = gelu_tanh(%y)
  return %z
}}
"""
RESIDUAL = """
func @residual(%x: {d}[T, {k}], %w: {d}[{n}, {k}], %r: {d}[T, {n}]) {{anchor = "linear"}} {{
  %y: {d}[T, {n}] = linear(%x, %w)
  %z: {d}[T, {n}] = add(%r, %y)
  return %z
}}
"""
TEXTS = {"biased": BIASED, "gated": GATED, "gelu": GELU}


def text_of(name, n, k, dtype="bf16"):
    """A region of weights [n, k]."""
    return TEXTS[name].format(d=dtype, n=n, k=k, p=-(-k // 64))


def arguments_of(function, tokens):
    """Random operands; results are near one, and squares those of the rows."""
    made = {}
    for value in function.params:
        shape = value.type.concrete({"T": tokens})
        scale = 1.0 if value.name in ("x", "h") else shape[-1] ** -0.5
        made[value.name] = (torch.randn(*shape) * scale).bfloat16()
    if "q" in made:
        parts = [part.float().square().sum(-1) for part in made["h"].split(64, -1)]
        made["q"] = torch.stack(parts, -1)
    return [*made.values()]
