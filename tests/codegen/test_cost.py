from tapeout.codegen.cpp.cost import Cost, cost_of, experts_costs, routing_of
from tapeout.ir.parser import parse_function
from tapeout.ir.types import Dim


def test_a_region_moves_its_parameters_and_results():
    function = parse_function("""
func @product(%x: f32[T, 6], %w: f32[5, 6]) {anchor = "linear"} {
  %y: f32[T, 5] = linear(%x, %w)
  return %y
}""")
    moved = Dim.of("T") * 4 * (6 + 5) + 4 * 5 * 6
    multiplied = Dim.of("T") * 4 * 6
    assert cost_of(function) == Cost(moved, Dim.of("T") * 2 * 5 * 6, multiplied)


def test_of_a_table_only_the_rows_that_are_gathered_are_moved():
    function = parse_function("""
func @embed(%t: f32[1000, 6], %i: i32[T]) {anchor = "rows"} {
  %e: f32[T, 6] = gather_rows(%t, %i)
  return %e
}""")
    assert cost_of(function).bytes == Dim.of("T") * 4 * (6 + 1 + 6)


def test_of_what_is_only_cut_the_pieces_are_moved():
    function = parse_function("""
func @half(%x: f32[T, 6]) {anchor = "rows"} {
  %y: f32[T, 2] = slice(%x) {axis = 1, start = 1, stop = 3}
  return %y
}""")
    assert cost_of(function).bytes == Dim.of("T") * 4 * (2 + 2)


def test_of_what_slots_keep_only_the_rows_that_are_gathered_are_moved():
    function = parse_function("""
func @read(%t: i32[L], %i: i32[T]) {anchor = "rows"} {
  %e: i32[T] = gather_rows(%t, %i)
  return %e
}""")
    assert cost_of(function).bytes == Dim.of("T") * 4 * (1 + 1 + 1)


def test_attention_computes_for_each_pair_of_a_token_and_a_key():
    function = parse_function("""
func @attend(%q: f32[T, 4, 8], %c: state[], %p: i32[T], %s: i32[T], %t: i32[S, P])
    {anchor = "attention"} {
  %y: f32[T, 4, 6] = paged_attention(%q, %c, %p, %s, %t)
    {layer = 0, num_key_heads = 2, scale = 1.0, value_dim = 6, group = "full"}
  %z: f32[T, 4, 6] = neg(%y)
  return %z
}""")
    moved = Dim.of("T") * 4 * (4 * 8 + 2 + 4 * 6)
    flops = Dim.of("K") * 2 * 4 * (8 + 6) + Dim.of("T") * 4 * 6
    assert cost_of(function) == Cost(moved, flops)


def test_of_routed_experts_those_that_are_read_are_moved():
    function = parse_function("""
func @mix(%x: f32[T, 6], %i: i32[T, 2], %w: f32[T, 2], %up: f32[5, 8, 6], %down: f32[5, 6, 4],
    %up_bias: f32[5, 8], %down_bias: f32[5, 6]) {anchor = "experts"} {
  %y: f32[T, 6] = experts(%x, %i, %w, %up, %down, %up_bias, %down_bias) {activation = "a * b"}
  return %y
}""")
    tokens, experts = Dim.of("T"), Dim.of("E")
    whole = cost_of(function)
    assert whole.bytes == experts * 4 * (8 * 6 + 6 * 4 + 8 + 6) + tokens * 4 * (6 + 2 + 2 + 6)
    up, down = experts_costs(function.nodes[0])
    assert up.bytes == experts * 4 * (8 * 6 + 8) + tokens * 4 * (6 + 2 * 4)
    assert down.bytes == experts * 4 * (6 * 4 + 6) + tokens * 4 * (6 + 2 * 4)
    assert up.flops + down.flops == whole.flops == tokens * 2 * 2 * (8 * 6 + 6 * 4)
    assert routing_of(function) == (5, 2)
