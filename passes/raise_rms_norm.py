"""Recognise root-mean-square norms, whatever the order of casts, with weight w or 1 + w.

Before:
    module level=model

    entry @step(%x: bf16[T, 8], %w: bf16[8]) {
      %a: f32[T, 8] = cast(%x) {dtype = f32}
      %b: f32[T, 8] = mul(%a, %a)
      %c: f32[T, 1] = reduce_mean(%b) {axis = 1}
      %eps: f32[] = constant() {value = 1e-06}
      %d: f32[T, 1] = add(%c, %eps)
      %e: f32[T, 1] = rsqrt(%d)
      %f: f32[T, 8] = mul(%a, %e)
      %g: f32[8] = cast(%w) {dtype = f32}
      %one: f32[] = constant() {value = 1.0}
      %h: f32[8] = add(%g, %one)
      %i: f32[T, 8] = mul(%f, %h)
      %j: bf16[T, 8] = cast(%i) {dtype = bf16}
      return %j
    }

After:
    module level=model

    entry @step(%x: bf16[T, 8], %w: bf16[8]) {
      %j: bf16[T, 8] = rms_norm(%x, %w) {eps = 1e-06, offset = 1.0}
      return %j
    }

Requires: no torch ops; powers as products.
Keeps: values up to roundings between the norm's own steps, of which the op has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ir.graph import Context, Function, Module, Node, Value, drop_dead, map_functions, rewrite


@dataclass(frozen=True)
class _Normal:
    """x * rsqrt(mean(x^2) + eps): the value before any cast, and after the widening one."""

    source: Value
    wide: Value
    eps: float


def raise_rms_norm(module: Module) -> tuple[Module, int]:
    """Raise in every function."""
    return map_functions(module, _raise)


def _raise(function: Function) -> tuple[Function, int]:
    raised, count = rewrite(function, _rule)
    return (drop_dead(raised)[0], count) if count else (function, 0)


def _rule(node: Node, context: Context) -> list[Node] | None:
    product = context.producer(node.operands[0], "mul") if node.op == "cast" else node
    found = _match(product, context) if product and product.op == "mul" else None
    if found is None:
        return None
    normal, weight, offset = found
    source = normal.source if node.result.dtype is normal.source.dtype else normal.wide
    if node.result.dtype is not source.dtype or (node is product and _is_narrowed(node, context)):
        return None
    attrs = {"eps": normal.eps, "offset": offset}
    return [Node("rms_norm", (source, weight), attrs, node.results, node.origin)]


def _is_narrowed(node: Node, context: Context) -> bool:
    """True when a cast takes the product: the norm is raised there."""
    users = context.users.get(node.result, [])
    return len(users) == 1 and users[0].op == "cast" and context.has_one_use(node.result)


def _match(product: Node, context: Context) -> tuple[_Normal, Value, float] | None:
    """The norm, its weight and the offset of the weight."""
    for first, second in _either_order(product):
        normal = _normal(_uncast(first, context), context)
        if normal is None:
            continue
        weight, offset = _weight(second, context)
        if weight.shape == normal.source.shape[-1:]:
            return normal, weight, offset
    return None


def _normal(value: Value, context: Context) -> _Normal | None:
    product = context.producer(value, "mul")
    for x, scale in _either_order(product) if product else ():
        eps = _eps(x, scale, context)
        if eps is not None:
            return _Normal(_uncast(x, context), x, eps)
    return None


def _eps(x: Value, scale: Value, context: Context) -> float | None:
    """The constant in rsqrt(mean(x * x) + constant); None when ``scale`` is not that."""
    root = context.producer(scale, "rsqrt")
    total = context.producer(root.operands[0], "add") if root else None
    for mean, number in _either_order(total) if total else ():
        eps, average = _constant(number, context), context.producer(mean, "reduce_mean")
        square = context.producer(average.operands[0], "mul") if average else None
        if eps is not None and average and square and square.operands == (x, x):
            return eps if average.attrs["axis"] == x.type.rank - 1 else None
    return None


def _weight(value: Value, context: Context) -> tuple[Value, float]:
    """``value`` as offset + weight, without casts."""
    total = context.producer(value, "add")
    for weight, number in _either_order(total) if total else ():
        offset = _constant(number, context)
        if offset is not None:
            return _uncast(weight, context), offset
    return _uncast(value, context), 0.0


def _either_order(node: Node) -> Iterator[tuple[Value, Value]]:
    first, second = node.operands
    yield first, second
    yield second, first


def _uncast(value: Value, context: Context) -> Value:
    cast = context.producer(value, "cast")
    return cast.operands[0] if cast and cast.operands[0].dtype.is_float else value


def _constant(value: Value, context: Context) -> float | None:
    node = context.producer(value, "constant")
    return float(node.attrs["value"]) if node else None
