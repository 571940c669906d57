"""Joins a norm with the product that alone reads it: a block of the product scales its own rows.

Before:
    module level=region

    entry @step(%h: bf16[T, 8], %w: bf16[4, 8]) {
      %n: bf16[T, 8] = region(%h) {function = "rms_norm"}
      %y: bf16[T, 4] = region(%n, %w) {function = "linear"}
      return %y
    }

    func @rms_norm(%x: bf16[T, 8]) {anchor = "rows"} {
      %rms_norm: bf16[T, 8] = rms_norm(%x) {eps = 1e-06}
      return %rms_norm
    }

    func @linear(%x: bf16[T, 8], %weight: bf16[4, 8]) {anchor = "linear"} {
      %linear: bf16[T, 4] = linear(%x, %weight)
      return %linear
    }

After:
    module level=region

    entry @step(%h: bf16[T, 8], %w: bf16[4, 8]) {
      %y: bf16[T, 4] = region(%h, %w) {function = "rms_norm_linear"}
      return %y
    }

    func @rms_norm_linear(%norm_x: bf16[T, 8], %weight: bf16[4, 8]) {anchor = "linear"} {
      %x: bf16[T, 8] = rms_norm(%norm_x) {eps = 1e-06}
      %linear: bf16[T, 4] = linear(%x, %weight)
      return %linear
    }

Requires: level region.
Keeps: every other call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..ir.graph import Function, Module, Names, Node, Value
from .base import Miss, Obstacle
from .joined_regions import JoinedRegions, callers_of, region_of
from .layer_weights import weight_parameters

Users = Mapping[Value, list[Node]]


def fold_norms(module: Module) -> tuple[Module, int]:
    """Join in every function; for targets whose products take norms along."""
    joins, callers, count = JoinedRegions(module), [], 0
    for function in callers_of(module):
        users, nodes = function.users(), list(function.nodes)
        for norm in _candidates(function, users, module):
            if _obstacle(norm, function, users, module) is None:
                product = users[norm.result][0]
                nodes[nodes.index(product)] = _join(norm, product, joins)
                nodes.remove(norm)
                count += 1
        callers.append(replace(function, nodes=tuple(nodes)))
    return (joins.module_of(callers), count) if count else (module, 0)


def missed_norms(module: Module) -> Iterator[Miss]:
    """Norms of layers that are launches of their own although a product reads them."""
    for function in callers_of(module):
        users = function.users()
        for norm in _candidates(function, users, module):
            obstacle = _obstacle(norm, function, users, module)
            if obstacle and weight_parameters(module, function):
                yield Miss.at(function, norm, obstacle)


def norm_of(function: Function) -> Node | None:
    """The norm before the products of a region, if there is one."""
    linears = [node for node in function.nodes if node.op == "linear"]
    maker = function.producers().get(linears[0].operands[0]) if linears else None
    return maker if maker is not None and maker.op == "rms_norm" else None


def _candidates(function: Function, users: Users, module: Module) -> list[Node]:
    """Calls of regions with a norm, which a product reads."""
    calls = [node for node in function.nodes if node.op == "region"]
    return [call for call in calls if _has_norm(call, module) and _products(call, users, module)]


def _has_norm(call: Node, module: Module) -> bool:
    region = region_of(module, call)
    return region.attrs["anchor"] == "rows" and any(n.op == "rms_norm" for n in region.nodes)


def _products(norm: Node, users: Users, module: Module) -> list[Node]:
    readers = [reader for value in norm.results for reader in users.get(value, [])]
    calls = [reader for reader in readers if reader.op == "region"]
    return [call for call in calls if region_of(module, call).attrs["anchor"] == "linear"]


def _obstacle(norm: Node, function: Function, users: Users, module: Module) -> Obstacle | None:
    region = region_of(module, norm)
    if len(region.nodes) > 1 or region.nodes[0].operands != region.params:
        ops = ", ".join(node.op for node in region.nodes)
        return Obstacle("the norm is alone in its region", f"a region of {ops}")
    readers = [str(node.attrs.get("function", node.op)) for node in users[norm.result]]
    readers += ["return"] * (norm.result in function.results)
    if len(readers) > 1:
        return Obstacle("one product alone reads the norm", f"read by {', '.join(readers)}")
    product = users[norm.result][0]
    second = region_of(module, product)
    x = second.params[product.operands.index(norm.result)]
    if not _multiplies(second, x):
        ops = ", ".join(node.op for node in second.nodes if x in node.operands)
        return Obstacle("products alone read the rows [T, D]", f"{ops} of {x.type}")
    return None


def _join(norm: Node, product: Node, joins: JoinedRegions) -> Node:
    first, second = (region_of(joins.module, node) for node in (norm, product))
    place = product.operands.index(norm.result)
    name = joins.join((first.name, second.name), lambda name: _joined(first, second, place, name))
    operands = [v for v in product.operands if v != norm.result]
    attrs = dict(product.attrs) | {"function": name}
    return replace(product, operands=(*norm.operands, *operands), attrs=attrs)


def _multiplies(region: Function, x: Value) -> bool:
    """True when products alone read ``x``."""
    readers = [node for node in region.nodes if x in node.operands]
    linear = all(node.op == "linear" and node.operands[0] == x for node in readers)
    return region.attrs["anchor"] == "linear" and linear and x.type.rank == 2


def _joined(norm: Function, product: Function, place: int, name: str) -> Function:
    names = Names(product)
    renamed = {v: Value(names.fresh(f"norm_{v.name}"), v.type) for v in norm.params}
    node = norm.nodes[0]
    inner = replace(
        node,
        operands=tuple(renamed[v] for v in node.operands),
        results=(product.params[place],),
    )
    others = tuple(v for v in product.params if v != product.params[place])
    params = (*(renamed[v] for v in norm.params), *others)
    return replace(product, name=name, params=params, nodes=(inner, *product.nodes))
