"""Carries the squares of rows from where rows are made to the norms of the products that read them.

Before:
    module level=region
    weight @layer0.w bf16[8, 8] for 2 = checkpoint("h.{i}.w")

    entry @step(%ids: i32[T], %table: bf16[32, 8]) {
      %h: bf16[T, 8] = region(%ids, %table) {function = "gather_rows"}
      %r: bf16[T, 8] = repeat(%h)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.w"]]}
      return %r
    }

    func @gather_rows(%rows: i32[T], %table: bf16[32, 8]) {anchor = "rows"} {
      %gather_rows: bf16[T, 8] = gather_rows(%table, %rows)
      return %gather_rows
    }

    func @layer0(%x: bf16[T, 8], %w: bf16[8, 8]) {
      %y: bf16[T, 8] = region(%x, %w) {function = "rms_norm_linear"}
      %z: bf16[T, 8] = region(%y, %w, %x) {function = "linear_add"}
      return %z
    }

    func @rms_norm_linear(%x: bf16[T, 8], %weight: bf16[8, 8]) {anchor = "linear"} {
      %rms_norm: bf16[T, 8] = rms_norm(%x) {eps = 1e-06}
      %linear: bf16[T, 8] = linear(%rms_norm, %weight)
      return %linear
    }

    func @linear_add(%x: bf16[T, 8], %weight: bf16[8, 8], %a: bf16[T, 8]) {anchor = "linear"} {
      %linear: bf16[T, 8] = linear(%x, %weight)
      %add: bf16[T, 8] = add(%a, %linear)
      return %add
    }

After:
    module level=region
    weight @layer0.w bf16[8, 8] for 2 = checkpoint("h.{i}.w")

    entry @step(%ids: i32[T], %table: bf16[32, 8]) {
      %h: bf16[T, 8], %h_squares: f32[T, 1] =
        region(%ids, %table) {function = "gather_rows_squares"}
      %r: bf16[T, 8], %r_squares: f32[T, 1] = repeat(%h, %h_squares)
        {carried = 2, count = 2, pattern = ["layer0"], weights = [["layer0.w"]]}
      return %r
    }

    func @layer0(%x: bf16[T, 8], %x_squares: f32[T, 1], %w: bf16[8, 8]) {
      %y: bf16[T, 8] = region(%x, %x_squares, %w) {function = "rms_norm_linear_by_squares"}
      %z: bf16[T, 8], %z_squares: f32[T, 1] =
        region(%y, %w, %x) {function = "linear_add_squares"}
      return %z, %z_squares
    }

    func @gather_rows_squares(%rows: i32[T], %table: bf16[32, 8]) {anchor = "rows"} {
      %gather_rows: bf16[T, 8] = gather_rows(%table, %rows)
      %squares: f32[T, 1] = sum_squares(%gather_rows) {width = 64}
      return %gather_rows, %squares
    }

    func @rms_norm_linear_by_squares
      (%x: bf16[T, 8], %squares: f32[T, 1], %weight: bf16[8, 8]) {anchor = "linear"} {
      %rms_norm: bf16[T, 8] = norm_by_squares(%x, %squares) {eps = 1e-06}
      %linear: bf16[T, 8] = linear(%rms_norm, %weight)
      return %linear
    }

    func @linear_add_squares
      (%x: bf16[T, 8], %weight: bf16[8, 8], %a: bf16[T, 8]) {anchor = "linear"} {
      %linear: bf16[T, 8] = linear(%x, %weight)
      %add: bf16[T, 8] = add(%a, %linear)
      %squares: f32[T, 1] = sum_squares(%add) {width = 64}
      return %add, %squares
    }

Requires: level region, norms joined with products.
Keeps: norms with a weight of their own, and those of rows that are made in another way. Parts are
of one width whatever makes them, so that whoever adds them up need not know.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.graph import Function, Module, Node
from .base import Miss, Obstacle
from .carried_places import Place, num_carried, places_of
from .carried_squares import SquaresCarrier, place_of_rows
from .fold_norms import norm_of
from .joined_regions import JoinedRegions, callers_of, region_of
from .layer_weights import weight_parameters


def carry_squares(module: Module) -> tuple[Module, int]:
    """Carry for every norm that can have them; the count is those norms."""
    takers, wanted = set[Place](), set[Place]()
    for function, call in _candidates(module):
        if _obstacle(module, function, call) is None:
            takers.add((function.name, call.results[0]))
            wanted |= _rows(module, function, call)
    if not takers:
        return module, 0
    joins, callers = JoinedRegions(module), []
    for function in callers_of(module):
        callers.append(SquaresCarrier(function, wanted, takers, joins).carry())
    return joins.module_of(callers), len(takers)


def missed_squares(module: Module) -> Iterator[Miss]:
    """Norms of layers whose products add up the squares themselves, or that are launches."""
    for function, call in _candidates(module):
        obstacle = _obstacle(module, function, call)
        if obstacle and weight_parameters(module, function):
            yield Miss.at(function, call, obstacle)


def _candidates(module: Module) -> Iterator[tuple[Function, Node]]:
    """Calls of products that take their norm along, in the functions that call them."""
    for function in callers_of(module):
        for call in function.nodes:
            if call.op == "region" and norm_of(region_of(module, call)):
                yield function, call


def _rows(module: Module, function: Function, call: Node) -> set[Place]:
    """The places of what the norm of a call reads."""
    rows = call.operands[place_of_rows(region_of(module, call))]
    return places_of(module, (function.name, rows))


def _obstacle(module: Module, function: Function, call: Node) -> Obstacle | None:
    norm = norm_of(region_of(module, call))
    if norm is not None and len(norm.operands) > 1:
        weight = f"a weight {norm.operands[1].type}"
        return Obstacle("the norm is a factor of each row alone", weight)
    gaps = filter(None, (_gap(module, place) for place in _rows(module, function, call)))
    first = min(gaps, default=None)  # the places have no order of their own
    predicate = "products, or work on rows, make the rows in all layers"
    return None if first is None else Obstacle(predicate, first)


def _gap(module: Module, place: Place) -> str | None:
    """What makes rows whose squares are not to be had."""
    function, value = module.functions[place[0]], place[1]
    text = f"%{value.name} of @{function.name}"
    if value in function.params:
        return None if value in function.params[: num_carried(module, function)] else text
    maker = function.producers()[value]
    if maker.op == "region":
        region = region_of(module, maker)
        is_rows = value.type.rank == 2 and value.dtype.is_float
        if region.attrs["anchor"] not in ("linear", "rows") or not is_rows:
            return f"{text} from {region.name}: {value.type}"
        return None
    return None if maker.op == "repeat" else f"{text} from {maker.op}"
