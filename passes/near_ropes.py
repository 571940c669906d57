"""Finds what looks like a rotary embedding and is none: products with cosines that stayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from ..ir.graph import Context, Function, Module, Node, Value, context_of
from ..ir.ops import Kind, record_of
from ..ir.printer import print_node
from .base import Miss, Obstacle, made_by
from .rope_pairs import STYLES, columns_of, is_rotated

_MADE_OF = {Kind.ELEMENTWISE, Kind.LAYOUT}


def missed_ropes(module: Module) -> Iterator[Miss]:
    """Each use of cosines or sines that stayed, with the predicate of `raise_rope` that fails."""
    passed: dict[str, set[Value]] = {}
    for name in sorted(module.functions, key=lambda name: name not in module.entries):
        function, context = module.functions[name], context_of(module.functions[name])
        tables = _tables(function, context, passed.get(name, set()))
        for call in (node for node in function.nodes if node.op == "repeat"):
            for layer in call.attrs["pattern"]:
                params = zip(module.functions[layer].params, call.operands, strict=False)
                passed.setdefault(layer, set()).update(p for p, v in params if v in tables)
        for node in _uses(function, tables):
            yield Miss.at(function, node, _obstacle(node, tables, context))


def _tables(function: Function, context: Context, passed: set[Value]) -> set[Value]:
    """What is made of cosines, sines and constants alone."""
    found = set(passed)
    for node in function.nodes:
        others = [v for v in node.operands if v not in found]
        is_made = len(others) < len(node.operands) and record_of(node.op).kind in _MADE_OF
        if node.op in ("cos", "sin") or (is_made and all(_is_constant(v, context) for v in others)):
            found.add(node.result)
    return found


def _is_constant(value: Value, context: Context) -> bool:
    maker = context.producer(value)
    return maker is not None and maker.op in ("constant", "weight")


def _uses(function: Function, tables: set[Value]) -> list[Node]:
    """Products with a table, or the sums of two such, or what joins two such sums."""
    found: dict[Value, Node] = {}
    for node in function.nodes:
        is_product = node.op == "mul" and node.result not in tables
        of_table = is_product and not tables.isdisjoint(node.operands)
        joins = node.op in ("add", "sub", "concat") and all(v in found for v in node.operands)
        if of_table or joins:
            found = {v: n for v, n in found.items() if not joins or v not in node.operands}
            found[node.result] = node
    return list(found.values())


def _obstacle(node: Node, tables: set[Value], context: Context) -> Obstacle:
    makers = [context.producer(value) for value in node.operands]
    products = [maker for maker in makers if maker and maker.op == "mul"]
    if node.op == "mul":
        readers = "; ".join(map(print_node, context.users.get(node.result, [])))
        return Obstacle("two products with tables are added", readers or "return")
    if node.op != "add":
        wanted = "(a * cos - b * sin, b * cos + a * sin) of the pairs (a, b) of x is joined"
        found = [*_halves(products or makers, context), *(maker for maker in makers if maker), node]
        return Obstacle(wanted, "; ".join(map(print_node, found)))
    (x, turned), own = zip(*(_split(product, tables) for product in products), strict=True)
    if x.type.rank not in (2, 3):
        return Obstacle("x is [T, D] or [T, H, D]", str(x.type))
    for first, second in permutations((x, turned)):
        for style in STYLES:
            if is_rotated(second, first, style, context):
                return _of_tables(own, first, style, context)
    return Obstacle("x is turned: each pair (a, b) of it is (-b, a)", _chain(turned, context))


def _halves(makers: Sequence[Node | None], context: Context) -> list[Node]:
    """The slices of x in products, or in sums of two products each."""
    parts = [context.producer(value) for maker in makers if maker for value in maker.operands]
    deeper = [part for part in parts if part and part.op == "mul"]
    slices = {n.result: n for n in parts if n and n.op == "slice"}
    return [*slices.values()] or (_halves(deeper, context) if deeper else [])


def _split(product: Node, tables: set[Value]) -> tuple[Value, Value]:
    """What a product multiplies, and the table."""
    first, second = product.operands
    return (second, first) if first in tables else (first, second)


def _of_tables(tables: tuple[Value, ...], x: Value, style: str, context: Context) -> Obstacle:
    wrong = [table for table in tables if columns_of(table, x, style, context) is None]
    found = "; ".join(_chain(table, context) for table in wrong)
    return Obstacle(f"a table of {x.type} has each of its columns twice, for {style} pairs", found)


def _chain(value: Value, context: Context) -> str:
    """How a value is made, two nodes deep."""
    node = context.producer(value)
    return "; ".join(made_by(v, context) for v in (*(node.operands if node else ()), value))
