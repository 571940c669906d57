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
from dataclasses import replace

from ..ir.graph import Function, Module, Names, Node, Value
from ..ir.ops import record_of
from .base import Miss, Obstacle
from .fold_norms import norm_of
from .joined_regions import JoinedRegions, callers_of, region_of
from .layer_weights import repeats_of, weight_parameters

PART_COLUMNS = 64
"""Columns whose squares are one sum: no tile that makes rows may have fewer."""

Place = tuple[str, Value]
"""A function's name and a value in it."""


def carry_squares(module: Module) -> tuple[Module, int]:
    """Carry for every norm that can have them; the count is those norms."""
    takers, wanted = set[Place](), set[Place]()
    for function, call in _candidates(module):
        if _obstacle(module, function, call) is None:
            takers.add((function.name, call.results[0]))
            wanted |= _stream(module, (function.name, _rows(module, call)))
    if not takers:
        return module, 0
    joins = JoinedRegions(module)
    callers = [_Carrier(function, wanted, takers, joins).carry() for function in callers_of(module)]
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


def _rows(module: Module, call: Node) -> Value:
    """What the norm of a call reads."""
    region = region_of(module, call)
    norm = norm_of(region)
    assert norm is not None
    return call.operands[region.params.index(norm.operands[0])]


def _obstacle(module: Module, function: Function, call: Node) -> Obstacle | None:
    norm = norm_of(region_of(module, call))
    if norm is not None and len(norm.operands) > 1:
        weight = f"a weight {norm.operands[1].type}"
        return Obstacle("the norm is a factor of each row alone", weight)
    gaps = [_gap(module, place) for place in _stream(module, (function.name, _rows(module, call)))]
    found = sorted(filter(None, gaps))
    if found:
        return Obstacle("products, or work on rows, make the rows in all layers", found[0])
    return None


def _stream(module: Module, place: Place) -> set[Place]:
    """The places whose squares must be there for those of ``place`` to be."""
    found, stack = set[Place](), [place]
    while stack:
        place = stack.pop()
        if place not in found:
            found.add(place)
            stack += _needed(module, place)
    return found


def _needed(module: Module, place: Place) -> Iterator[Place]:
    function, value = module.functions[place[0]], place[1]
    if value in function.params:
        for caller, repeat in repeats_of(module, function.name):
            yield from _column(module, caller, repeat, function.params.index(value))
    else:
        maker = function.producers()[value]
        if maker.op == "repeat":
            yield from _column(module, function, maker, maker.results.index(value))


def _column(module: Module, caller: Function, repeat: Node, column: int) -> Iterator[Place]:
    """One of the values that a repeat carries: the first, and what each layer takes and gives."""
    if column < repeat.attrs["carried"]:
        yield caller.name, repeat.operands[column]
        for layer in (module.functions[name] for name in repeat.attrs["pattern"]):
            yield layer.name, layer.params[column]
            yield layer.name, layer.results[column]


def _gap(module: Module, place: Place) -> str | None:
    """What makes rows whose squares are not to be had."""
    function, value = module.functions[place[0]], place[1]
    text = f"%{value.name} of @{function.name}"
    if value in function.params:
        return None if value in function.params[: _num_carried(module, function)] else text
    maker = function.producers()[value]
    if maker.op == "region":
        region = region_of(module, maker)
        is_rows = value.type.rank == 2 and value.dtype.is_float
        if region.attrs["anchor"] not in ("linear", "rows") or not is_rows:
            return f"{text} from {region.name}: {value.type}"
        return None
    return None if maker.op == "repeat" else f"{text} from {maker.op}"


def _num_carried(module: Module, function: Function) -> int:
    """How many of a layer's first parameters are carried; none of another function's."""
    return min((r.attrs["carried"] for _, r in repeats_of(module, function.name)), default=0)


class _Carrier:
    """Carries the squares of the ``wanted`` places of a function to its ``takers``: calls, by their
    first results."""

    def __init__(
        self, function: Function, wanted: set[Place], takers: set[Place], joins: JoinedRegions
    ):
        self.function, self.wanted, self.takers, self.joins = function, wanted, takers, joins
        self.names, self.squares = Names(function), dict[Value, Value]()

    def carry(self) -> Function:
        """The function with what is carried, given and taken."""
        function, nodes = self.function, []
        end = _num_carried(self.joins.module, function)
        columns = [i for i in range(end) if self._wants(function.params[i])]
        own = [self._of(function.params[i]) for i in columns]
        for node in function.nodes:
            if node.op == "repeat":
                node = self._through(node)
            elif node.op == "region":
                is_taker = (function.name, node.results[0]) in self.takers
                node = self._take(node) if is_taker else node
                for value in filter(self._wants, node.results):
                    node = self._give(node, value)
            nodes.append(node)
        return replace(
            function,
            params=(*function.params[:end], *own, *function.params[end:]),
            nodes=tuple(nodes),
            results=(*function.results, *(self._of(function.results[i]) for i in columns)),
        )

    def _wants(self, value: Value) -> bool:
        return (self.function.name, value) in self.wanted

    def _of(self, value: Value) -> Value:
        """The squares of a value of the function."""
        if value not in self.squares:
            name = self.names.fresh(f"{value.name}_squares")
            self.squares[value] = _squares_of(value, name)
        return self.squares[value]

    def _through(self, repeat: Node) -> Node:
        end = repeat.attrs["carried"]
        layer = self.joins.module.functions[repeat.attrs["pattern"][0]]
        columns = [i for i in range(end) if (layer.name, layer.params[i]) in self.wanted]
        first = [self._of(repeat.operands[i]) for i in columns]
        last = [self._of(repeat.results[i]) for i in columns]
        return replace(
            repeat,
            operands=(*repeat.operands[:end], *first, *repeat.operands[end:]),
            attrs=dict(repeat.attrs) | {"carried": end + len(columns)},
            results=(*repeat.results, *last),
        )

    def _give(self, call: Node, value: Value) -> Node:
        region, place = self.joins.region_of(call), call.results.index(value)
        words = (region.name, "squares", *([str(place)] if place else []))
        name = self.joins.join(words, lambda name: _giving(region, place, name))
        attrs, results = dict(call.attrs) | {"function": name}, (*call.results, self._of(value))
        return replace(call, attrs=attrs, results=results)

    def _take(self, call: Node) -> Node:
        region, rows = self.joins.region_of(call), _rows(self.joins.module, call)
        place = call.operands.index(rows) + 1
        name = self.joins.join(
            (region.name, "by_squares"), lambda name: _taking(region, place, name)
        )
        operands = (*call.operands[:place], self._of(rows), *call.operands[place:])
        return replace(call, operands=operands, attrs=dict(call.attrs) | {"function": name})


def _squares_of(value: Value, name: str) -> Value:
    types = record_of("sum_squares").infer([value.type], {"width": PART_COLUMNS})
    return Value(name, types[0])


def _giving(region: Function, place: int, name: str) -> Function:
    """The region, also with the squares of one of its results."""
    rows = region.results[place]
    squares = _squares_of(rows, Names(region).fresh("squares"))
    node = Node("sum_squares", (rows,), {"width": PART_COLUMNS}, (squares,))
    nodes, results = (*region.nodes, node), (*region.results, squares)
    return replace(region, name=name, nodes=nodes, results=results)


def _taking(region: Function, place: int, name: str) -> Function:
    """The region with the squares of its rows as a parameter at a place."""
    norm = norm_of(region)
    assert norm is not None
    rows = norm.operands[0]
    squares = _squares_of(rows, Names(region).fresh("squares"))
    attrs = {"eps": norm.attrs["eps"]}
    scaling = replace(norm, op="norm_by_squares", operands=(rows, squares), attrs=attrs)
    nodes = tuple(scaling if node is norm else node for node in region.nodes)
    params = (*region.params[:place], squares, *region.params[place:])
    return replace(region, name=name, params=params, nodes=nodes)
