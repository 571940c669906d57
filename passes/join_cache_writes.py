"""Joins what makes queries and writes the cache with the attention that alone reads them.

Before:
    module level=region

    entry @step(%k: f32[T, 2, 16], %p: i32[T], %s: i32[T], %c: state[], %t: i32[S, P]) {
      %q: f32[T, 2, 16], %c1: state[] = region(%k, %c, %p, %s, %t)
        {function = "neg_kv_write", layer = <0>}
      %y: f32[T, 2, 16] = region(%q, %c1, %p, %s, %t) {function = "paged_attention", layer = <0>}
      return %y, %c1
    }

    func @neg_kv_write(%x: f32[T, 2, 16], %c: state[], %p: i32[T], %s: i32[T], %t: i32[S, P])
      {anchor = "rows"} {
      %neg: f32[T, 2, 16] = neg(%x)
      %written: state[] = kv_write(%c, %x, %x, %p, %s, %t) {group = "full", layer = <i>}
      return %neg, %written
    }

    func @paged_attention(%q: f32[T, 2, 16], %c: state[], %p: i32[T], %s: i32[T],
                          %t: i32[S, P]) {anchor = "attention"} {
      %y: f32[T, 2, 16] = paged_attention(%q, %c, %p, %s, %t)
        {group = "full", layer = <i>, num_key_heads = 2, scale = 0.25, value_dim = 16}
      return %y
    }

After:
    module level=region

    entry @step(%k: f32[T, 2, 16], %p: i32[T], %s: i32[T], %c: state[], %t: i32[S, P]) {
      %c1: state[], %y: f32[T, 2, 16] = region(%k, %c, %p, %s, %t)
        {function = "neg_kv_write_paged_attention", layer = <0>}
      return %y, %c1
    }

    func @neg_kv_write_paged_attention(%x: f32[T, 2, 16], %c: state[], %p: i32[T], %s: i32[T],
                                       %t: i32[S, P]) {anchor = "attention"} {
      %neg: f32[T, 2, 16] = neg(%x)
      %written: state[] = kv_write(%c, %x, %x, %p, %s, %t) {group = "full", layer = <i>}
      %y: f32[T, 2, 16] = paged_attention(%neg, %written, %p, %s, %t)
        {group = "full", layer = <i>, num_key_heads = 2, scale = 0.25, value_dim = 16}
      return %written, %y
    }

Requires: level region.
Keeps: every other call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..ir.graph import Function, Module, Names, Node, Value
from ..ir.printer import print_attr
from ..ir.types import DType
from .base import Miss, Obstacle
from .joined_regions import JoinedRegions, callers_of, region_of


def join_cache_writes(module: Module) -> tuple[Module, int]:
    """Join in every function; for targets whose attention writes what it reads."""
    joins, callers, count = JoinedRegions(module), [], 0
    for function in callers_of(module):
        nodes = list(function.nodes)
        for write, attention in _candidates(function, module):
            if _obstacle(write, attention, function) is None:
                nodes[nodes.index(attention)] = _join(write, attention, joins)
                nodes.remove(write)
                count += 1
        callers.append(replace(function, nodes=tuple(nodes)))
    return (joins.module_of(callers), count) if count else (module, 0)


def missed_cache_writes(module: Module) -> Iterator[Miss]:
    """Attentions whose keys a launch of its own writes."""
    for function in callers_of(module):
        for write, attention in _candidates(function, module):
            obstacle = _obstacle(write, attention, function)
            assert obstacle, "a pass leaves what it cannot do"
            yield Miss.at(function, attention, obstacle)


def _candidates(function: Function, module: Module) -> Iterator[tuple[Node, Node]]:
    """Each call of an attention, after the call that writes the cache it reads."""
    producers = function.producers()
    for call in function.nodes:
        if call.op == "region" and region_of(module, call).attrs["anchor"] == "attention":
            states = [value for value in call.operands if value.dtype is DType.STATE]
            makers = [producers[state] for state in states if state in producers]
            writes = [maker for maker in makers if maker.op == "region"]
            rows = [w for w in writes if region_of(module, w).attrs["anchor"] == "rows"]
            yield from ((write, call) for write in rows)


def _obstacle(write: Node, attention: Node, function: Function) -> Obstacle | None:
    query, made = attention.operands[0], ", ".join(f"%{v.name}" for v in write.results)
    if query not in write.results:
        return Obstacle("queries come from the region that writes the cache", f"it makes {made}")
    if len(write.results) != 2 or write.results[-1].dtype is not DType.STATE:
        return Obstacle("that region makes queries and a cache alone", f"it makes {made}")
    readers = [n.op for n in function.users()[query] if n is not attention]
    readers += ["return"] * (query in function.results)
    if readers:
        return Obstacle("attention alone reads the queries", f"read by {', '.join(readers)}")
    layers = [print_attr(call.attrs.get("layer")) for call in (write, attention)]
    if layers[0] != layers[1]:
        return Obstacle("both are of one layer", " and ".join(layers))
    return None


def _join(write: Node, attention: Node, joins: JoinedRegions) -> Node:
    first, second = (region_of(joins.module, node) for node in (write, attention))
    known = dict(
        zip((*write.operands, *write.results), (*first.params, *first.results), strict=True)
    )
    new = [v for v in attention.operands if v not in known]
    inner = [known.get(v) for v in attention.operands]
    name = joins.join((first.name, second.name), lambda name: _joined(first, second, inner, name))
    attrs = dict(attention.attrs) | {"function": name}
    results = (write.results[-1], *attention.results)
    return replace(attention, operands=(*write.operands, *new), attrs=attrs, results=results)


def _joined(first: Function, second: Function, inner: list[Value | None], name: str) -> Function:
    """``inner`` are the values of ``first`` that the parameters of ``second`` stand for."""
    names, moved, new = Names(first), dict[Value, Value](), []
    for parameter, value in zip(second.params, inner, strict=True):
        moved[parameter] = value or Value(names.fresh(parameter.name), parameter.type)
        new += [] if value else [moved[parameter]]
    nodes = []
    for node in second.nodes:
        results = tuple(Value(names.fresh(v.name), v.type) for v in node.results)
        operands = tuple(moved[v] for v in node.operands)
        nodes.append(replace(node, operands=operands, results=results))
        moved |= dict(zip(node.results, results, strict=True))
    return replace(
        first,
        name=name,
        params=(*first.params, *new),
        nodes=(*first.nodes, *nodes),
        results=(first.results[-1], *(moved[v] for v in second.results)),
        attrs={"anchor": "attention"},
    )
