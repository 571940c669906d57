"""`Emitter`: appends nodes whose result types come from the op records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..ir.graph import Function, Names, Node, Value
from ..ir.ops import record_of
from ..ir.types import Dim, DType, TensorType


class Emitter:
    """Builds the nodes of one function. ``stem`` and ``origin`` go to the nodes that follow."""

    def __init__(self, names: Names, stem: str = "v", origin: str = ""):
        self.names, self.stem, self.origin = names, stem, origin
        self.nodes: list[Node] = []

    def results(self, op: str, *operands: Value, **attrs: Any) -> tuple[Value, ...]:
        """Append a node and give all its results; asserts what the op's record asserts."""
        record = record_of(op)
        full = record.complete(attrs)
        types = record.infer([value.type for value in operands], full)
        values = tuple(Value(self.names.fresh(self.stem), type) for type in types)
        self.nodes.append(Node(op, operands, full, values, self.origin))
        return values

    def __call__(self, op: str, *operands: Value, **attrs: Any) -> Value:
        """Append a node of one result and give it."""
        return self.results(op, *operands, **attrs)[0]

    def reshape(self, x: Value, *shape: int | Dim) -> Value:
        """``x`` under another shape; ``x`` itself when it has that shape."""
        wanted = tuple(map(Dim.of, shape))
        return x if x.shape == wanted else self("reshape", x, shape=wanted)

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        """``x`` with its axes in another order; ``x`` itself when they stay."""
        order = tuple(permutation)
        if order == tuple(range(len(order))):
            return x
        return self("transpose", x, permutation=order)

    def cast(self, x: Value, dtype: DType) -> Value:
        """``x`` in another dtype; ``x`` itself when it has that dtype."""
        return x if x.dtype is dtype else self("cast", x, dtype=dtype)

    def constant(self, value: float | int | bool, dtype: DType) -> Value:
        """A number of rank 0; floats are kept in f32, whatever they are combined with."""
        return self("constant", value=value, dtype=DType.F32 if dtype.is_float else dtype)


Rebuild = Callable[[Emitter, Node, list[Value]], Sequence[Value]]


def rebuild(
    function: Function,
    rule: Rebuild,
    params: Callable[[int, TensorType], TensorType] = lambda _, type: type,
) -> Function:
    """Emit every node anew by ``rule(emitter, node, new operands)``; types may change.

    ``params`` gives the new type of each parameter. A rule gives the values that stand for the
    node's results; when they are new, they take the old names.
    """
    new: dict[Value, Value] = {}
    for index, old in enumerate(function.params):
        new[old] = Value(old.name, params(index, old.type))
    names = Names()
    for value in new.values():
        names.fresh(value.name)
    emitter = Emitter(names)
    for node in function.nodes:
        emitter.stem, emitter.origin = node.results[0].name, node.origin
        results = rule(emitter, node, [new[value] for value in node.operands])
        new |= dict(zip(node.results, results, strict=True))
    results = tuple(new[value] for value in function.results)
    parameters = tuple(new[value] for value in function.params)
    return replace(function, params=parameters, nodes=tuple(emitter.nodes), results=results)


def copy_node(emitter: Emitter, node: Node, operands: list[Value]) -> tuple[Value, ...]:
    """The rule that changes nothing: the node again, on its new operands."""
    if node.op == "repeat":
        types = [operands[i].type for i in range(node.attrs["carried"])]
        values = tuple(Value(emitter.names.fresh(emitter.stem), type) for type in types)
        emitter.nodes.append(replace(node, operands=tuple(operands), results=values))
        return values
    return emitter.results(node.op, *operands, **node.attrs)
