from functools import cache

import pytest
import torch
from region_kernels import Region, regions_of, relative_error, usable_levels

from tapeout.codegen.packing import pack_rows16

TOLERANCE = 2e-6

REGIONS = {
    "norms": """
func @norms(%x: f32[T, 37], %y: f32[T, 37], %w: f32[37], %b: f32[37]) {anchor = "rows"} {
  %s: f32[T, 37] = add(%x, %y)
  %r: f32[T, 37] = rms_norm(%s, %w) {eps = 1e-05, offset = 1.0}
  %l: f32[T, 37] = layer_norm(%s, %w, %b) {eps = 1e-05}
  return %s, %r, %l
}""",
    "router": """
func @router(%x: f32[T, 19]) {anchor = "rows"} {
  %p: f32[T, 19] = softmax(%x)
  %v: f32[T, 5], %i: i32[T, 5] = topk(%p) {k = 5}
  %t: f32[T, 1] = reduce_sum(%v) {axis = 1}
  %n: f32[T, 5] = div(%v, %t)
  %m: f32[T, 1] = reduce_max(%x) {axis = 1}
  %a: f32[T, 1] = reduce_mean(%x) {axis = 1}
  return %n, %i, %m, %a
}""",
    "heads": """
func @heads(%x: f32[T, 120], %w: f32[24], %c: f32[T, 10], %s: f32[T, 10]) {anchor = "rows"} {
  %a: f32[T, 72] = slice(%x) {axis = 1, start = 48, stop = 120}
  %h: f32[T, 3, 24] = reshape(%a) {shape = [<T>, 3, 24]}
  %n: f32[T, 3, 24] = rms_norm(%h, %w) {eps = 1e-06}
  %r: f32[T, 3, 24] = rope(%n, %c, %s)
  %i: f32[T, 3, 24] = rope(%n, %c, %s) {style = "interleaved"}
  %f: f32[T, 72] = reshape(%r) {shape = [<T>, 72]}
  return %r, %i, %f
}""",
    "layout": """
func @layout(%x: f32[T, 30], %y: f32[T, 21], %z: f32[T, 1]) {anchor = "rows"} {
  %c: f32[T, 51] = concat(%x, %y) {axis = 1}
  %m: f32[T, 51] = mul(%c, %z)
  %h: f32[T, 5, 6] = reshape(%x) {shape = [<T>, 5, 6]}
  %t: f32[T, 6, 5] = transpose(%h) {permutation = [0, 2, 1]}
  %g: f32[T, 15] = slice(%x) {axis = 1, start = 1, stop = 30, step = 2}
  %k: bool[T, 30] = less(%x, %z)
  %w: f32[T, 30] = where(%k, %x, %z)
  return %m, %t, %g, %w
}""",
    "inner axes": """
func @inner(%x: f32[T, 5, 7]) {anchor = "rows"} {
  %s: f32[T, 1, 7] = reduce_sum(%x) {axis = 1}
  %m: f32[T, 1, 7] = reduce_max(%x) {axis = 1}
  %a: f32[T, 1, 7] = reduce_mean(%x) {axis = 1}
  %y: f32[T, 1, 7] = sub(%m, %a)
  %z: f32[T, 5, 7] = mul(%x, %y)
  %l: f32[T, 5, 1] = reduce_sum(%z) {axis = 2}
  return %s, %z, %l
}""",
}


def arguments_of(region, tokens):
    torch.manual_seed(tokens)
    return [torch.randn(value.type.concrete({"T": tokens})) for value in region.function.params]


@cache
def regions(level):
    """Those of all names, compiled together."""
    return dict(zip(REGIONS, regions_of(REGIONS.values(), level), strict=True))


@pytest.mark.parametrize("name", REGIONS)
def test_rows_are_those_of_the_interpreter(level, name):
    region = regions(level)[name]
    for tokens in (1, 2, 35):
        arguments = arguments_of(region, tokens)
        found = region.run(arguments, {"T": tokens}, num_threads=2)
        wanted = region.reference(arguments, {"T": tokens})
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype and relative_error(one, other) <= TOLERANCE


def test_topk_takes_the_lowest_place_among_equals():
    text = """
func @best(%x: f32[T, 20]) {anchor = "rows"} {
  %v: f32[T, 3], %i: i32[T, 3] = topk(%x) {k = 3}
  return %i
}"""
    row = torch.zeros(1, 20)
    row[0, 17] = 1
    [places] = Region(text, usable_levels()[0]).run([row], {"T": 1})
    assert places.tolist() == [[17, 0, 1]]


EMBED = """
func @embed(%table: bf16[45, 33], %rows: i32[T]) {anchor = "rows"} {
  %x: bf16[T, 33] = gather_rows(%table, %rows)
  return %x
}"""


@pytest.mark.parametrize("packed", [False, True])
def test_an_embedding_is_read_from_a_plain_or_a_packed_table(level, packed):
    region = Region(EMBED, level, also_packed=("table",) if packed else ())
    table, rows = torch.randn(45, 33).bfloat16(), torch.tensor([44, 0, 17, 17]).int()
    [found] = region.run([pack_rows16(table) if packed else table, rows], {"T": 4})
    assert torch.equal(found, table[rows.long()])
