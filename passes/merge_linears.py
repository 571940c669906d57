"""Multiply once by the stacked weights of linears that share their input, such as q, k and v.

Before:
    module level=paged
    weight @layer0.q f32[16, 8] for 2 = checkpoint("h.{i}.q")
    weight @layer0.k f32[4, 8] for 2 = checkpoint("h.{i}.k")

    func @layer0(%h: f32[T, 8], %q: f32[16, 8], %k: f32[4, 8]) {
      %a: f32[T, 16] = linear(%h, %q)
      %b: f32[T, 4] = linear(%h, %k)
      %c: f32[T, 8] = slice(%a) {axis = 1, start = 0, stop = 8}
      return %c
    }

    entry @step(%h: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%h)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [["layer0.q", "layer0.k"]]}
      return %r
    }

After:
    module level=paged
    weight @layer0.q f32[16, 8] for 2 = checkpoint("h.{i}.q")
    weight @layer0.k f32[4, 8] for 2 = checkpoint("h.{i}.k")
    weight @layer0.q_k f32[20, 8] for 2 = concat(checkpoint("h.{i}.q"), checkpoint("h.{i}.k"), 0)

    func @layer0(%h: f32[T, 8], %q: f32[16, 8], %k: f32[4, 8], %q_k: f32[20, 8]) {
      %merged: f32[T, 20] = linear(%h, %q_k)
      %a: f32[T, 16] = slice(%merged) {axis = 1, start = 0, stop = 16}
      %b: f32[T, 4] = slice(%merged) {axis = 1, start = 16, stop = 20}
      %c: f32[T, 8] = slice(%a) {axis = 1, start = 0, stop = 8}
      return %c
    }

    entry @step(%h: f32[T, 8]) {
      %r: f32[T, 8] = repeat(%h) {carried = 1, count = 2, pattern = ["layer0"],
        weights = [["layer0.q", "layer0.k", "layer0.q_k"]]}
      return %r
    }

Requires: layer weights are parameters of layer functions.
Keeps: a linear whose only reader is elementwise, which becomes its epilogue; the old parameters,
which `drop_dead_parameters` removes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from os.path import commonprefix

from ..ir.graph import Context, Function, Module, Names, Node, Value, context_of
from ..ir.ops import Kind, record_of
from ..ir.types import Dim
from ..ir.weights import Step, Weight
from .base import Miss, Obstacle, made_by
from .layer_weights import add_weight, weight_parameters


def merge_linears(module: Module) -> tuple[Module, int]:
    """Merge within each layer function."""
    count = 0
    for name in list(module.functions):
        while group := _find(module, module.functions[name]):
            module = _merge(module, name, group)
            count += 1
    return module, count


def _find(module: Module, function: Function) -> list[Node] | None:
    """The first linears that share an input, have no epilogue and take layer weights."""
    context, own = context_of(function), set(weight_parameters(module, function))
    groups: dict[object, list[Node]] = {}
    for node in function.nodes:
        if (
            node.op == "linear"
            and own.issuperset(node.operands[1:])
            and not _has_epilogue(node, context)
        ):
            groups.setdefault((node.operands[0], len(node.operands)), []).append(node)
    return next((group for group in groups.values() if len(group) > 1), None)


def _has_epilogue(node: Node, context: Context) -> bool:
    readers = context.users.get(node.result, [])
    return len(readers) == 1 and record_of(readers[0].op).kind is Kind.ELEMENTWISE


def missed_linears(module: Module) -> Iterator[Miss]:
    """Linears of layers that read what a linear before them reads, and multiply by themselves.

    Two that have epilogues and one shape, as gate and up, are to meet in a region instead.
    """
    for function in module.functions.values():
        own = weight_parameters(module, function)
        context = context_of(function)
        for group in _alike(function, context) if own else ():
            group.sort(key=lambda node: _obstacle(node, own, context) is not None)
            for node in group[1:]:
                obstacle = _obstacle(node, own, context) or _difference(group[0], node)
                if obstacle:
                    yield Miss.at(function, node, obstacle)


def _alike(function: Function, context: Context) -> list[list[Node]]:
    """Linears by what they read, whatever its type; without those that pair."""
    groups: dict[object, list[Node]] = {}
    for node in function.nodes:
        if node.op == "linear":
            groups.setdefault(_read_by(node, context), []).append(node)
    return [[n for n in group if not _pairs(n, group, context)] for group in groups.values()]


def _read_by(linear: Node, context: Context) -> tuple[Value, ...]:
    """What a linear's input is made of, seen through casts and a norm."""

    def uncast(value: Value) -> Value:
        cast = context.producer(value, "cast")
        return cast.operands[0] if cast else value

    x = uncast(linear.operands[0])
    norm = context.producer(x, "rms_norm")
    return tuple(map(uncast, norm.operands)) if norm else (x,)


def _pairs(node: Node, group: Sequence[Node], context: Context) -> bool:
    twins = [n for n in group if n.result.type == node.result.type and _has_epilogue(n, context)]
    return len(twins) == 2 and node in twins


def _obstacle(node: Node, own: Sequence[Value], context: Context) -> Obstacle | None:
    """What keeps a linear from any merge."""
    others = [value for value in node.operands[1:] if value not in own]
    if others:
        return Obstacle("the weights are the layer's own", made_by(others[0], context))
    if _has_epilogue(node, context):
        reader = context.users[node.result][0]
        found = f"%{reader.result.name} = {reader.op} is in between"
        return Obstacle("what reads the product is no elementwise op alone", found)
    return None


def _difference(first: Node, node: Node) -> Obstacle | None:
    """What keeps two linears from being one."""
    inputs = [f"%{n.operands[0].name}: {n.operands[0].type}" for n in (first, node)]
    if inputs[0] != inputs[1]:
        return Obstacle("both read one input in one type", " and ".join(inputs))
    if len(first.operands) != len(node.operands):
        biases = [
            f"%{n.result.name} {'no' if len(n.operands) < 3 else 'a'} bias" for n in (first, node)
        ]
        return Obstacle("both have a bias or none has", " and ".join(biases))
    return None


def _merge(module: Module, name: str, group: Sequence[Node]) -> Module:
    x, operands = group[0].operands[0], []
    for column in range(1, len(group[0].operands)):
        parts = [node.operands[column] for node in group]
        module, merged = _stack_weights(module, name, parts)
        operands.append(merged)
    function = module.functions[name]
    rows = sum((node.result.shape[-1] for node in group), Dim())
    type = x.type.with_shape(*x.shape[:-1], rows)
    merged = Value(Names(function).fresh("merged"), type)
    new = [Node("linear", (x, *operands), {}, (merged,), group[0].origin), *_slices(merged, group)]
    nodes = [n for node in function.nodes for n in (new if node is group[0] else [node])]
    nodes = [node for node in nodes if node not in group[1:]]
    return module.with_functions(replace(function, nodes=tuple(nodes)))


def _slices(merged: Value, group: Sequence[Node]) -> list[Node]:
    nodes, start = [], 0
    for node in group:
        stop = start + int(node.result.shape[-1])
        attrs = {"axis": merged.type.rank - 1, "start": start, "stop": stop, "step": 1}
        nodes.append(Node("slice", (merged,), attrs, node.results, node.origin))
        start = stop
    return nodes


def _stack_weights(module: Module, name: str, parts: Sequence[Value]) -> tuple[Module, Value]:
    """A new parameter for the rows of ``parts`` one after another, and its families."""

    def stack(families: Sequence[Weight]) -> Weight:
        rows = sum((w.type.shape[0] for w in families), Dim())
        type = families[0].type.with_shape(rows, *families[0].type.shape[1:])
        program = Step("concat", tuple(w.program for w in families), (0,))
        return Weight(_join([w.name for w in families]), type, program, families[0].count)

    return add_weight(module, name, parts, stack, _join([value.name for value in parts]))


def _join(names: Sequence[str]) -> str:
    """``a.q.w`` and ``a.k.w`` give ``a.q_k.w``: common words stay, the others are joined."""
    words = [name.split(".") for name in names]
    head = len(commonprefix(words))
    tail = len(commonprefix([list(reversed(w[head:])) for w in words]))
    middles = ["_".join(w[head : len(w) - tail]) for w in words]
    last = words[0][len(words[0]) - tail :] if tail else []
    return ".".join([*words[0][:head], "_".join(middles), *last])
