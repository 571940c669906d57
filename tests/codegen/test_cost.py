from tapeout.codegen.cpp.cost import region_bytes, region_flops
from tapeout.ir.parser import parse_function
from tapeout.ir.types import Dim


def test_a_region_moves_its_parameters_and_results():
    function = parse_function("""
func @product(%x: f32[T, 6], %w: f32[5, 6]) {anchor = "linear"} {
  %y: f32[T, 5] = linear(%x, %w)
  return %y
}""")
    assert region_bytes(function) == Dim.of("T") * 4 * (6 + 5) + 4 * 5 * 6
    assert region_flops(function) == Dim.of("T") * 2 * 5 * 6


def test_of_a_table_only_the_rows_that_are_gathered_are_moved():
    function = parse_function("""
func @embed(%t: f32[1000, 6], %i: i32[T]) {anchor = "rows"} {
  %e: f32[T, 6] = gather_rows(%t, %i)
  return %e
}""")
    assert region_bytes(function) == Dim.of("T") * 4 * (6 + 1 + 6)


def test_of_what_slots_keep_only_the_rows_that_are_gathered_are_moved():
    function = parse_function("""
func @read(%t: i32[L], %i: i32[T]) {anchor = "rows"} {
  %e: i32[T] = gather_rows(%t, %i)
  return %e
}""")
    assert region_bytes(function) == Dim.of("T") * 4 * (1 + 1 + 1)
