"""Products whose weights stream: who does which steps, and what is compiled for Hopper."""

import gzip
import re
from dataclasses import replace

import pytest
import torch
from persistent_products import arguments_of
from region_kernels import relative_error
from region_texts import LINEAR
from triton_regions import TritonRegion

from tapeout import settings
from tapeout.codegen.triton.choice import fields_of
from tapeout.codegen.triton.compile import compile_kernels
from tapeout.codegen.triton.emit import emit_region, gpu_key
from tapeout.codegen.triton.kernel import Steps
from tapeout.codegen.triton.streams import Stream, choose_stream, shares_of
from tapeout.codegen.triton.targets import TARGETS
from tapeout.errors import BuildError
from tapeout.ir.parser import parse_function

TARGET = "cuda:sm_90"
STEPS = Steps("decode16", 16, one_token_each=True, target=TARGETS[TARGET])
MANY = replace(STEPS, max_rows=64)
NORMED = """
func @gated(%h: {d}[T, {k}], %w: {d}[{n}, {k}], %v: {d}[{n}, {k}]) {{anchor = "linear"}} {{
  %x: {d}[T, {k}] = rms_norm(%h) {{eps = 1e-05}}
  %g: {d}[T, {n}] = linear(%x, %w)
  %s: {d}[T, {n}] = silu(%g)
  %u: {d}[T, {n}] = linear(%x, %v)
  %y: {d}[T, {n}] = mul(%s, %u)
  return %y
}}
"""
GATED = NORMED.replace("  %x: {d}[T, {k}] = rms_norm(%h) {{eps = 1e-05}}\n", "").replace(
    "linear(%x", "linear(%h"
)
SQUARES = """
func @squares(%h: {d}[T, {k}], %q: f32[T, {p}], %w: {d}[{n}, {k}], %r: {d}[T, {n}])
    {{anchor = "linear"}} {{
  %x: {d}[T, {k}] = norm_by_squares(%h, %q) {{eps = 1e-05}}
  %y: {d}[T, {n}] = linear(%x, %w)
  %z: {d}[T, {n}] = add(%r, %y)
  %s: f32[T, {m}] = sum_squares(%z) {{width = 64}}
  return %z, %s
}}
"""
SQUARE = """
func @square(%x: {d}[T, {k}], %w: {d}[{k}, {k}]) {{anchor = "linear"}} {{
  %y: {d}[T, {k}] = linear(%x, %w)
  %z: {d}[T, {k}] = add(%x, %y)
  return %z
}}
"""


def text_of(text, n, k, dtype="bf16"):
    return text.format(n=n, k=k, d=dtype, p=-(-k // 64), m=n // 64)


def kernel_of(text, stream, steps=STEPS, n=4096, k=2048, dtype="bf16"):
    function = parse_function(text_of(text, n, k, dtype))
    [kernel] = emit_region(function, steps, {gpu_key(function, steps): fields_of(stream)}).kernels
    return kernel


@pytest.mark.parametrize("splits", [1, 2, 8])
@pytest.mark.parametrize("columns", [64, 128])
@pytest.mark.parametrize(("n", "k"), [(6144, 4096), (4096, 14336), (1024, 2048), (128256, 2048)])
def test_each_step_is_of_one_block_and_a_tile_of_no_more_than_is_said(n, k, columns, splits):
    shares = shares_of(Stream(16, columns, 64, 4, splits), n, k)
    total = shares.steps * shares.num_tiles
    owners = [step // shares.share for step in range(total)]
    assert shares.num_blocks == max(owners) + 1 <= 132
    tiles = [owners[at : at + shares.steps] for at in range(0, total, shares.steps)]
    assert shares.most_parts == max(len(set(tile)) for tile in tiles) <= splits + (splits > 1)


TEXTS = {"gated": NORMED, "linear": LINEAR, "squares": SQUARES, "no norm": GATED}
STREAMS = [
    ("gated", Stream(8, 64, 128, 3)),
    ("linear", Stream(8, 64, 128, 3)),
    ("gated", Stream(16, 64, 128, 5, 8)),
    ("gated", Stream(32, 64, 64, 8, 8)),
    ("linear", Stream(64, 64, 128, 6, 2)),
    ("no norm", Stream(64, 64, 128, 4, 1)),
    ("squares", Stream(64, 64, 128, 6, 1)),
    ("squares", Stream(64, 64, 128, 6, 4)),
]


@pytest.mark.parametrize(("name", "stream"), STREAMS, ids=str)
def test_a_stream_takes_registers_alone_and_reads_weights_by_the_tensor_unit(name, stream):
    kernels = {"kernel": kernel_of(TEXTS[name], stream, replace(STEPS, max_rows=stream.rows))}
    [made] = compile_kernels(kernels, TARGET, settings.CACHE.get() / "objects").values()
    code = gzip.decompress(made.assembly.read_bytes()).decode()
    assert made.local_bytes == 0 and made.shared_bytes <= TARGETS[TARGET].shared_bytes
    assert "wgmma.mma_async" in code and "cp.async.bulk.tensor.2d" in code
    beginning, *copying = re.split(r"setmaxnreg\.dec\.sync\.aligned\.u32\s+40", code)
    assert not re.search(r"(ld|st|atom)\.global", beginning.split("griddepcontrol.wait")[0])
    warps = [text.split("setmaxnreg.inc")[0] for text in copying]
    weights, x = (warp for warp in warps if "cp.async.bulk.tensor.2d" in warp)
    assert "griddepcontrol.wait" not in weights
    assert "cp.async.bulk.tensor.2d" not in x.split("griddepcontrol.wait")[0]


@pytest.mark.parametrize(("name", "stream"), STREAMS, ids=str)
def test_a_stream_is_the_interpreters(name, stream):
    torch.manual_seed(0)
    steps = replace(STEPS, max_rows=stream.rows)
    region = TritonRegion(text_of(TEXTS[name], 1024, 2048), steps, fields_of(stream))
    for tokens in (2, stream.rows - 1):
        arguments = arguments_of(region.function, tokens)
        found = region.run(arguments, {"T": tokens})
        wanted = region.reference(arguments, {"T": tokens})
        for one, other in zip(found, wanted, strict=True):
            assert relative_error(one, other) <= 8e-3, tokens


def body_of(n, k, stream):
    return kernel_of(LINEAR, stream, n=n, k=k).body


def test_large_products_have_no_more_weights_on_the_way_than_keep_memory_busy():
    assert "AHEAD = gl.constexpr(4)" in body_of(4096, 14336, Stream(16, 64, 128, 9, 2))
    assert "AHEAD = gl.constexpr(9)" in body_of(2048, 8192, Stream(16, 64, 128, 9, 4))


def test_a_block_of_few_steps_has_no_more_slots_and_uses_none_again():
    few, more = (body_of(1024, 2048, Stream(16, 64, 128, slots, 4)) for slots in (9, 3))
    assert "SLOTS = gl.constexpr(4)" in few and "IS_REUSED = gl.constexpr(False)" in few
    assert "SLOTS = gl.constexpr(3)" in more and "IS_REUSED = gl.constexpr(True)" in more


@pytest.mark.parametrize(
    ("n", "k", "num_blocks", "parts"),
    [(6144, 4096, 96, 1), (4096, 14336, 128, 2), (2048, 2048, 128, 4), (1024, 3072, 64, 4)]
    + [(14336, 4096, 112, 1), (10240, 4096, 132, 2), (64, 64, 1, 1)],
)
def test_the_rule_has_as_few_parts_as_give_most_multiprocessors_a_block(n, k, num_blocks, parts):
    shares = shares_of(choose_stream(16, n, k, 1), n, k)
    assert (shares.num_blocks, shares.most_parts) == (num_blocks, parts)


@pytest.mark.parametrize(("n", "k"), [(4096, 1024), (1024, 2048), (2048, 2048)])
def test_more_than_16_rows_have_small_tiles_whole(n, k):
    assert shares_of(choose_stream(16, n, k, 1), n, k).most_parts > 1
    assert shares_of(choose_stream(32, n, k, 1), n, k).most_parts == 1
    assert shares_of(choose_stream(32, n, 2 * k + 1024, 1), n, 2 * k + 1024).most_parts > 1


def is_streamed(rows, n, k):
    function = parse_function(LINEAR.format(d="bf16", n=n, k=k))
    choice = emit_region(function, replace(STEPS, max_rows=rows)).choice
    assert choice.rule
    return isinstance(choice.chosen, Stream)


@pytest.mark.parametrize(
    ("rows", "n", "wanted"),
    [(1, 4096, 0), (2, 4096, 1), (32, 4096, 1), (32, 128256, 1), (16, 4000, 0)],
)
def test_few_rows_stream_where_tiles_are_whole(rows, n, wanted):
    assert is_streamed(rows, n, 2048) == wanted


@pytest.mark.parametrize(
    ("n", "k", "wanted"),
    [(4096, 4096, 1), (2048, 8192, 1), (1024, 3072, 1), (4096, 1024, 1), (128256, 4096, 1)]
    + [(896, 4864, 0), (4864, 896, 0)],
)
def test_more_rows_stream_through_products_that_are_not_small(n, k, wanted):
    assert is_streamed(33, n, k) == is_streamed(64, n, k) == wanted
    assert not is_streamed(65, n, k)


def test_it_is_only_for_what_its_tiles_fit():
    stream = Stream(16, 64, 64, 6, 8)
    cases = [
        ({"steps": replace(STEPS, target=TARGETS["cuda:sm_100"])}, "no such form"),
        ({"steps": replace(STEPS, target=None)}, "no such form"),
        ({"steps": replace(STEPS, batch_invariant=True)}, "an order of their own"),
        ({"steps": replace(STEPS, max_rows=17)}, "a tile has all rows"),
        ({"dtype": "f32"}, "floats of 16 bits"),
        ({"n": 4000}, "no whole tiles"),
        ({"k": 2080}, "no whole steps"),
        ({"text": SQUARE}, "no such form"),
        ({"steps": MANY, "text": SQUARES, "stream": Stream(64, 128, 64, 6)}, "are one sum"),
        ({"steps": MANY, "text": GATED, "stream": Stream(64, 128, 64, 6)}, "more than registers"),
        ({"stream": replace(stream, rows=128)}, "8 to 64 rows"),
        ({"stream": replace(stream, columns=32)}, "64 or 128 columns"),
        ({"stream": replace(stream, slots=1)}, "on the way"),
    ]
    for case, said in cases:
        with pytest.raises(BuildError, match=said):
            kernel_of(**{"text": LINEAR, "stream": stream} | case)
