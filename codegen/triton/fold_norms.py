"""Joins a norm with the product that alone reads it: a block of the product scales its own rows.

Before:
    %n: bf16[T, 8] = region(%h, %g) {function = "rms_norm"}
    %y: bf16[T, 4] = region(%n, %w) {function = "linear"}

After:
    %y: bf16[T, 4] = region(%h, %g, %w) {function = "rms_norm_linear"}

Requires: level region.
Keeps: every other call. The regions that were joined stay; they are emitted if others call them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...ir.graph import Function, Module, Names, Node, Value


def fold_norms(module: Module) -> Module:
    """The module with joined regions, for targets whose products take norms along."""
    joiner = _Joiner(module)
    functions = [joiner.rewrite(f) for f in module.functions.values() if "anchor" not in f.attrs]
    return module.with_functions(*functions, *joiner.made.values())


def norm_of(function: Function) -> Node | None:
    """The norm before the products of a region, if there is one."""
    linears = [node for node in function.nodes if node.op == "linear"]
    maker = function.producers().get(linears[0].operands[0]) if linears else None
    return maker if maker is not None and maker.op == "rms_norm" else None


@dataclass
class _Joiner:
    module: Module
    made: dict[tuple[str, str], Function] = field(default_factory=dict)

    def rewrite(self, function: Function) -> Function:
        """Replaces each pair of calls by one."""
        users, nodes = function.users(), list(function.nodes)
        for norm in function.nodes:
            readers = users.get(norm.results[0], []) if norm.op == "region" else []
            if len(readers) != 1 or norm.results[0] in function.results:
                continue
            joined = self._join(norm, readers[0])
            if joined is not None:
                nodes[nodes.index(readers[0])] = joined
                nodes.remove(norm)
        return replace(function, nodes=tuple(nodes))

    def _join(self, norm: Node, product: Node) -> Node | None:
        if product.op != "region":
            return None
        first, second = (self._region(node) for node in (norm, product))
        place = product.operands.index(norm.results[0])
        if not _is_norm(first) or not _multiplies(second, second.params[place]):
            return None
        key = (first.name, second.name)
        if key not in self.made:
            self.made[key] = _joined(first, second, place, self._name(key))
        operands = [v for v in product.operands if v != norm.results[0]]
        attrs = dict(product.attrs) | {"function": self.made[key].name}
        return replace(product, operands=(*norm.operands, *operands), attrs=attrs)

    def _region(self, call: Node) -> Function:
        return self.module.functions[str(call.attrs["function"])]

    def _name(self, key: tuple[str, str]) -> str:
        taken = [*self.module.functions, *(f.name for f in self.made.values())]
        return Names(taken=taken).fresh("_".join(key))


def _is_norm(region: Function) -> bool:
    return [node.op for node in region.nodes] == ["rms_norm"] and (
        region.nodes[0].operands == region.params
    )


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
