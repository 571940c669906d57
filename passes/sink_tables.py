"""Build tables that repeat the same columns inside the layers, out of one copy of the columns.

Before:
    module level=model

    entry @step(%x: f32[T, 4], %f: f32[T, 2]) {
      %a: f32[T, 4] = concat(%f, %f) {axis = 1}
      %b: f32[T, 4] = cos(%a)
      %c: f32[T, 4] = repeat(%x, %b)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [[]]}
      return %c
    }

    func @layer0(%x: f32[T, 4], %cos: f32[T, 4]) {
      %y: f32[T, 4] = mul(%x, %cos)
      return %y
    }

After:
    module level=model

    entry @step(%x: f32[T, 4], %f: f32[T, 2]) {
      %b: f32[T, 2] = cos(%f)
      %c: f32[T, 4] = repeat(%x, %b)
        {carried = 1, count = 2, pattern = ["layer0"], weights = [[]]}
      return %c
    }

    func @layer0(%x: f32[T, 4], %cos: f32[T, 2]) {
      %cos_1: f32[T, 4] = concat(%cos, %cos) {axis = 1}
      %y: f32[T, 4] = mul(%x, %cos_1)
      return %y
    }

Requires: no torch ops.
Keeps: every result. This is what shows `raise_rope` that both halves of a rotary table are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Function, Module, Node, Value, drop_dead
from ..ir.ops import Kind, record_of
from .emit import Emitter, copy_node, rebuild


def sink_tables(module: Module) -> tuple[Module, int]:
    """Sink into the layers of every entry function; the count is the tables."""
    count = 0
    for name in module.entries:
        narrow = _narrowed(module.functions[name])
        chains = _chains(narrow)
        calls = [node for node in narrow.nodes if node.op == "repeat"]
        tables = [v for v in _shared(calls) if chains.get(v)]
        if tables:
            module = _sink(module.with_functions(narrow), narrow, calls, tables, chains)
            count += len(tables)
    return module, count


def _shared(calls: Sequence[Node]) -> tuple[Value, ...]:
    """Operands after the carried ones, when all calls have the same."""
    tails = {call.operands[call.attrs["carried"] :] for call in calls}
    return tails.pop() if len(tails) == 1 else ()


def _is_copy(node: Node) -> bool:
    return node.op == "concat" and len(set(node.operands)) == 1


def _chains(function: Function) -> dict[Value, tuple[Node, ...]]:
    """For each value that repeats columns: the nodes that build it from the value before."""
    producers = function.producers()
    chains: dict[Value, tuple[Node, ...]] = {}
    for node in function.nodes:
        if node.op not in ("reshape", "concat"):
            continue
        inner = chains.get(node.operands[0], ())
        before = producers.get(node.operands[0])
        if _is_copy(node):
            start = (before,) if before and before.op == "reshape" and not inner else inner
            chains[node.result] = (*start, node)
        elif node.op == "reshape" and inner:
            chains[node.result] = (*inner, node)
    return chains


def _source(chain: Sequence[Node]) -> Value:
    return chain[0].operands[0]


def _replay(emit: Emitter, chain: Sequence[Node], source: Value) -> Value:
    """The chain's nodes again, from another source."""
    for node in chain:
        source = copy_node(emit, node, [source] * len(node.operands))[0]
    return source


def _narrowed(function: Function) -> Function:
    """Elementwise ops of one table and numbers, before the table's columns are repeated."""
    chains: dict[Value, tuple[Node, ...]] = {}

    def rule(emit: Emitter, node: Node, operands: list[Value]) -> Sequence[Value]:
        tables = [value for value in operands if value.type.rank]
        chain = chains.get(tables[0]) if len(tables) == 1 else None
        if chain is None or record_of(node.op).kind is not Kind.ELEMENTWISE:
            results = copy_node(emit, node, operands)
        else:
            plain = [_source(chain) if value is tables[0] else value for value in operands]
            results = (_replay(emit, chain, emit(node.op, *plain, **node.attrs)),)
        if node.op != "repeat":
            made = replace(function, nodes=tuple(emit.nodes))
            chains.update(_chains(made))
        return results

    return drop_dead(rebuild(function, rule))[0]


def _sink(
    module: Module,
    entry: Function,
    calls: Sequence[Node],
    tables: Sequence[Value],
    chains: dict[Value, tuple[Node, ...]],
) -> Module:
    """Pass each table's source in its place; the layers build the table."""
    carried = int(calls[0].attrs["carried"])
    places = {carried + _shared(calls).index(table): chains[table] for table in tables}
    sources = {table: _source(chains[table]) for table in tables}
    nodes = tuple(
        replace(n, operands=tuple(sources.get(v, v) for v in n.operands)) if n in calls else n
        for n in entry.nodes
    )
    module = module.with_functions(drop_dead(replace(entry, nodes=nodes))[0])
    layers = {name for call in calls for name in call.attrs["pattern"]}
    return module.with_functions(*(_built(module.functions[name], places) for name in layers))


def _built(function: Function, places: dict[int, tuple[Node, ...]]) -> Function:
    """The layer with the tables at ``places`` of its parameters built from narrow ones."""
    params = list(function.params)
    for place, chain in places.items():
        params[place] = Value(params[place].name, _source(chain).type)
    made: dict[Value, Value] = {}
    started = False

    def rule(emit: Emitter, node: Node, operands: list[Value]) -> Sequence[Value]:
        nonlocal started
        if not started:
            started, stem = True, emit.stem
            for place, chain in places.items():
                emit.stem = params[place].name
                made[params[place]] = _replay(emit, chain, params[place])
            emit.stem = stem
        return copy_node(emit, node, [made.get(value, value) for value in operands])

    return rebuild(function, rule, lambda index, _: params[index].type)
