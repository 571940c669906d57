"""Finds what looks like a root-mean-square norm and is none: roots of reductions that stayed."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.graph import Context, Module, Node, context_of
from ..ir.printer import print_node
from .base import Miss, Obstacle, made_by

_REDUCTIONS = ("reduce_mean", "reduce_sum")


def missed_rms_norms(module: Module) -> Iterator[Miss]:
    """Each root of a mean or a sum, with the first predicate of `raise_rms_norm` that fails."""
    for function in module.functions.values():
        context = context_of(function)
        for root in function.nodes:
            total = context.producer(root.operands[0]) if root.op in ("rsqrt", "sqrt") else None
            mean = _reduction(total, context) if total else None
            if total and mean:
                obstacle = _of_root(root, total, mean, context) or _of_product(root, mean, context)
                yield Miss.at(function, root, obstacle)


def _reduction(total: Node, context: Context) -> Node | None:
    """The nearest of those that the total is made of by work on one number a row."""
    makers = [total]
    for node in makers:
        if node.op in _REDUCTIONS:
            return node
        numbers = [v for v in node.operands if v.shape == total.result.shape]
        makers += [maker for value in numbers if (maker := context.producer(value))]
    return None


def _of_root(root: Node, total: Node, mean: Node, context: Context) -> Obstacle | None:
    """What is not rsqrt(mean(x * x) + eps)."""
    constants = [v for v in total.operands if context.producer(v, "constant")]
    square = context.producer(mean.operands[0])
    if root.op != "rsqrt":
        return Obstacle("the root is a rsqrt", print_node(root))
    if total.op != "add" or not constants or mean.result not in total.operands:
        return Obstacle("a constant is added to the mean", _text([mean, total]))
    if mean.op != "reduce_mean" or mean.attrs["axis"] != mean.operands[0].type.rank - 1:
        return Obstacle("the mean is over the last axis", print_node(mean))
    if square is None or square.op != "mul" or len(set(square.operands)) != 1:
        return Obstacle("the mean is of x * x", print_node(square or mean))
    return None


def _of_product(root: Node, mean: Node, context: Context) -> Obstacle:
    """What is not x * root * weight, in the type of x or in that of its square."""
    x = context.producers[mean.operands[0]].operands[0]
    readers = context.users.get(root.result, [])
    scaled = [node for node in readers if node.op == "mul" and x in node.operands]
    if not scaled:
        found = f"{made_by(x, context)}; {_text(readers)}"
        return Obstacle("the root multiplies the x whose squares its mean is of", found)
    readers = context.users.get(scaled[0].result, [])
    casts = [node for node in readers if node.op == "cast"]
    readers = [user for cast in casts for user in context.users.get(cast.result, [])] or readers
    width = x.shape[-1:]
    weights = [v for node in readers if node.op == "mul" for v in node.operands]
    if all(value.shape != width for value in weights):
        return Obstacle(
            f"a weight [{width[0]}] multiplies what the root has scaled", _text(readers)
        )
    found = f"%{x.name}: {x.type}; {_text(readers)}"
    return Obstacle("the result has the type of x before its cast, or of the square", found)


def _text(nodes: list[Node]) -> str:
    return "; ".join(map(print_node, nodes)) or "return"
