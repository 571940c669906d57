"""Finds products whose elementwise readers are in another region: epilogues that were not taken."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.graph import Function, Module, Node, Value
from ..ir.ops import Kind, record_of
from ..ir.printer import print_node
from .base import Miss, Obstacle
from .grouping import FREE
from .joined_regions import callers_of, region_of


def missed_epilogues(module: Module) -> Iterator[Miss]:
    """Each linear without an epilogue whose result a region computes with, element by element."""
    for function in callers_of(module):
        calls = {v: node for node in function.nodes if node.op == "region" for v in node.results}
        for call in (node for node in function.nodes if node.op == "region"):
            for value, parameter in zip(call.operands, region_of(module, call).params, strict=True):
                readers = _elementwise(region_of(module, call), parameter)
                if readers and value in calls and _is_bare(value, calls[value], module):
                    obstacle = _obstacle(value, calls[value], call, readers, function, module)
                    yield Miss.at(function, calls[value], obstacle)


def _is_bare(value: Value, call: Node, module: Module) -> bool:
    """Whether a value is what a linear gives, without more."""
    region = region_of(module, call)
    maker = region.producers().get(region.results[call.results.index(value)])
    return maker is not None and maker.op == "linear"


def _elementwise(region: Function, parameter: Value) -> list[Node]:
    """The elementwise ops on a parameter, seen through what is free."""
    values, found = {parameter}, []
    for node in region.nodes:
        if values.isdisjoint(node.operands):
            continue
        if node.op in FREE:
            values.add(node.result)
        elif record_of(node.op).kind is Kind.ELEMENTWISE:
            found.append(node)
    return found


def _obstacle(
    value: Value, maker: Node, call: Node, readers: list[Node], function: Function, module: Module
) -> Obstacle:
    others = [str(n.attrs.get("function", n.op)) for n in function.users()[value] if n is not call]
    others += ["return"] * (value in function.results)
    products = [*_products(maker, module), *_products(call, module)]
    if others:
        return Obstacle("the epilogue alone reads the product", f"read by {', '.join(others)} too")
    if all(node.result.shape != value.shape for node in readers):
        found = f"{value.type}, then {print_node(readers[0])}"
        return Obstacle("the epilogue has the shape of the product", found)
    if len(products) > 1:
        wanted = "products with one epilogue are two, of one input and one shape"
        return Obstacle(wanted, "; ".join(products))
    ops = ", ".join(node.op for node in region_of(module, call).nodes)
    return Obstacle("what is elementwise ends in one value", f"a region of {ops}")


def _products(call: Node, module: Module) -> list[str]:
    """The linears of a region that is called: input and weight."""
    region = region_of(module, call)
    named = dict(zip(region.params, call.operands, strict=True))
    pairs = [node.operands[:2] for node in region.nodes if node.op == "linear"]
    return [
        f"%{named.get(x, x).name}: {x.type} by %{named[weight].name}: {weight.type}"
        for x, weight in pairs
    ]
