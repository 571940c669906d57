"""Joins what makes queries and writes the cache with the attention that alone reads them.

Before:
    %q: bf16[T, 4, 64], %c1: state[] = region(%x, %c, %p, %s, %t) {function = "rope_kv_write"}
    %y: bf16[T, 4, 64] = region(%q, %c1, %p, %s, %t) {function = "paged_attention"}

After:
    %c1: state[], %y: bf16[T, 4, 64] = region(%x, %c, %p, %s, %t)
      {function = "rope_kv_write_paged_attention"}

Requires: level region.
Keeps: every other call. The regions that were joined stay; they are emitted if others call them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...ir.graph import Function, Module, Names, Node, Value
from ...ir.types import DType


def join_cache_writes(module: Module) -> Module:
    """The module with joined regions, for targets whose attention writes what it reads."""
    joiner = _Joiner(module)
    functions = [joiner.rewrite(f) for f in module.functions.values() if "anchor" not in f.attrs]
    return module.with_functions(*functions, *joiner.made.values())


@dataclass
class _Joiner:
    module: Module
    made: dict[tuple[str, str], Function] = field(default_factory=dict)

    def rewrite(self, function: Function) -> Function:
        """Replaces each pair of calls by one."""
        users, producers, nodes = function.users(), function.producers(), list(function.nodes)
        for attention in function.nodes:
            if attention.op != "region" or self._region(attention).attrs["anchor"] != "attention":
                continue
            write = producers.get(attention.operands[0])
            if write in nodes and write is not None and self._can_join(write, attention):
                query = attention.operands[0]
                if users[query] == [attention] and query not in function.results:
                    nodes[nodes.index(attention)] = self._join(write, attention)
                    nodes.remove(write)
        return replace(function, nodes=tuple(nodes))

    def _region(self, call: Node) -> Function:
        return self.module.functions[str(call.attrs["function"])]

    def _can_join(self, write: Node, attention: Node) -> bool:
        """Both are of one layer, and the queries come as they are read."""
        if write.op != "region" or write.attrs.get("layer") != attention.attrs.get("layer"):
            return False
        region = self._region(attention)
        node = next(node for node in region.nodes if node.op == "paged_attention")
        state = write.results[-1]
        is_plain = node.operands[0] is region.params[0] and state in attention.operands
        narrow = min(int(node.operands[0].shape[2]), int(node.attrs["value_dim"])) < 16
        return len(write.results) == 2 and state.dtype is DType.STATE and is_plain and not narrow

    def _join(self, write: Node, attention: Node) -> Node:
        first, second = self._region(write), self._region(attention)
        known = dict(
            zip((*write.operands, *write.results), (*first.params, *first.results), strict=True)
        )
        new = [v for v in attention.operands if v not in known]
        key = (first.name, second.name)
        if key not in self.made:
            inner = [known.get(v) for v in attention.operands]
            self.made[key] = _joined(first, second, inner, self._name(key))
        attrs = dict(attention.attrs) | {"function": self.made[key].name}
        results = (write.results[-1], *attention.results)
        return replace(attention, operands=(*write.operands, *new), attrs=attrs, results=results)

    def _name(self, key: tuple[str, str]) -> str:
        taken = [*self.module.functions, *(f.name for f in self.made.values())]
        return Names(taken=taken).fresh("_".join(key))


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
