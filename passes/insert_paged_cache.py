"""Replace attention over the step's own keys by kv_write and paged_attention over a page cache.

Before:
    module level=model

    func @layer0(%q: f32[T, 4, 8], %k: f32[T, 2, 8], %p: i32[T], %s: i32[T]) {
      %a: f32[T, 4, 8] = attention(%q, %k, %k, %p, %s) {scale = 0.5}
      return %a
    }

    entry @step(%q: f32[T, 4, 8], %k: f32[T, 2, 8], %p: i32[T], %s: i32[T]) {
      %r: f32[T, 4, 8] = repeat(%q, %k, %p, %s)
        {carried = 1, count = 3, pattern = ["layer0"], weights = [[]]}
      return %r
    }

After:
    module level=paged {cache_groups = [["full", 3, 2, 8, 8, f32, none]]}

    func @layer0(%q: f32[T, 4, 8], %cache_full: state[], %k: f32[T, 2, 8], %p: i32[T],
                 %s: i32[T], %block_table_full: i32[S, P]) {
      %cache: state[] = kv_write(%cache_full, %k, %k, %p, %s, %block_table_full)
        {group = "full", layer = <i>}
      %a: f32[T, 4, 8] = paged_attention(%q, %cache, %p, %s, %block_table_full)
        {group = "full", layer = <i>, num_key_heads = 2, scale = 0.5, value_dim = 8}
      return %a, %cache
    }

    entry @step(%q: f32[T, 4, 8], %k: f32[T, 2, 8], %p: i32[T], %s: i32[T],
                %cache_full: state[], %block_table_full: i32[S, P]) {
      %r: f32[T, 4, 8], %cache_full_1: state[] =
        repeat(%q, %cache_full, %k, %p, %s, %block_table_full)
        {carried = 2, count = 3, index = [<i>], pattern = ["layer0"], weights = [[]]}
      return %r, %cache_full_1
    }

Requires: attention sits in functions that `repeat` calls, once in each.
Keeps: the order of the other parameters and results. Layers with equal head counts, widths and
window share a group; ``layer`` counts the layers of a group in execution order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..ir.graph import Function, Module, Names, Node, Value
from ..ir.types import Dim, DType, TensorType

STATE = TensorType((), DType.STATE)
TABLE = TensorType.of("i32", "S", "P")


@dataclass(frozen=True)
class Group:
    """Layers whose keys and values have one shape and one window."""

    num_key_heads: int
    key_dim: int
    value_dim: int
    dtype: DType
    window: int | None

    @staticmethod
    def of(node: Node) -> Group:
        """The group of an attention node."""
        k, v = node.operands[1:3]
        window = node.attrs["window"]
        return Group(int(k.shape[1]), int(k.shape[2]), int(v.shape[2]), k.dtype, window)


def insert_paged_cache(module: Module) -> tuple[Module, int]:
    """Page the attention of every layer that a repeat of an entry function calls."""
    attentions = {f.name: _attention_of(f) for f in module.functions.values()}
    found = [node for node in attentions.values() if node]
    if not found:
        return module, 0
    groups = _name_groups(list(dict.fromkeys(map(Group.of, found))))
    counts = dict.fromkeys(groups, 0)
    changed: dict[str, Function] = {}
    for name in module.entries:
        function = module.functions[name]
        for repeat in (node for node in function.nodes if node.op == "repeat"):
            for layer in dict.fromkeys(repeat.attrs["pattern"]):
                paged = _page_layer(module.functions[layer], attentions[layer], repeat, groups)
                changed[layer] = paged
        changed[name] = _thread_entry(function, attentions, groups, counts)
    outside = [n.origin for name, n in attentions.items() if n and name not in changed]
    assert not outside, f"attention outside of the repeated layers: {outside}"
    facts = tuple(
        (name, counts[g], g.num_key_heads, g.key_dim, g.value_dim, g.dtype, g.window)
        for g, name in groups.items()
    )
    module = module.with_functions(*changed.values())
    attrs = dict(module.attrs) | {"cache_groups": facts}
    return replace(module, level="paged", attrs=attrs), len(found)


def _attention_of(function: Function) -> Node | None:
    found = [node for node in function.nodes if node.op == "attention"]
    assert len(found) <= 1, f"@{function.name} holds {len(found)} attentions; one is supported"
    return found[0] if found else None


def _name_groups(groups: list[Group]) -> dict[Group, str]:
    """``full`` or ``window_<n>``; a second group of one kind gets a number."""
    names: dict[Group, str] = {}
    for group in groups:
        stem = "full" if group.window is None else f"window_{group.window}"
        twins = sum(other.window == group.window for other in names)
        names[group] = f"{stem}_{twins + 1}" if twins else stem
    return names


def _states(function: Function, groups: Mapping[Group, str]) -> tuple[list[Value], list[Value]]:
    """A cache and a block table for each group, under names the function does not use."""
    names = Names(function)
    caches = [Value(names.fresh(f"cache_{name}"), STATE) for name in groups.values()]
    tables = [Value(names.fresh(f"block_table_{name}"), TABLE) for name in groups.values()]
    return caches, tables


def _page_layer(
    function: Function, attention: Node | None, repeat: Node, groups: Mapping[Group, str]
) -> Function:
    """Caches come after the carried values, tables after the shared ones."""
    caches, tables = _states(function, groups)
    nodes, final = list(function.nodes), list(caches)
    if attention:
        place = list(groups).index(Group.of(attention))
        name = list(groups.values())[place]
        paged = _paged(attention, name, caches[place], tables[place], Names(function))
        at = nodes.index(attention)
        nodes[at : at + 1] = paged
        final[place] = paged[0].result
    carried, shared = repeat.attrs["carried"], len(repeat.operands)
    params = [*function.params[:carried], *caches, *function.params[carried:shared]]
    params += [*tables, *function.params[shared:]]
    results = (*function.results, *final)
    return replace(function, params=tuple(params), nodes=tuple(nodes), results=results)


def _paged(node: Node, group: str, cache: Value, table: Value, names: Names) -> list[Node]:
    q, k, v, positions, sequences, *sinks = node.operands
    place = {"group": group, "layer": Dim.of("i")}
    written = Value(names.fresh("cache"), STATE)
    write = (cache, k, v, positions, sequences, table)
    read = (q, written, positions, sequences, table, *sinks)
    widths = {"num_key_heads": int(k.shape[1]), "value_dim": int(v.shape[2])}
    return [
        Node("kv_write", write, place, (written,), node.origin),
        replace(node, op="paged_attention", operands=read, attrs=dict(node.attrs) | place | widths),
    ]


def _thread_entry(
    function: Function,
    attentions: Mapping[str, Node | None],
    groups: Mapping[Group, str],
    counts: dict[Group, int],
) -> Function:
    """Caches and tables become parameters; each repeat takes and gives the caches."""
    caches, tables = _states(function, groups)
    names, latest, nodes = Names(function), list(caches), []
    for value in (*caches, *tables):
        names.fresh(value.name)
    for node in function.nodes:
        if node.op == "repeat":
            fresh = [Value(names.fresh(cache.name), STATE) for cache in caches]
            node = _thread_repeat(node, latest, tables, fresh, _index(node, attentions, counts))
            latest = fresh
        nodes.append(node)
    params, results = (*function.params, *caches, *tables), (*function.results, *latest)
    return replace(function, params=params, nodes=tuple(nodes), results=results)


def _thread_repeat(
    node: Node, caches: list[Value], tables: list[Value], fresh: list[Value], index: tuple[Dim, ...]
) -> Node:
    carried = node.attrs["carried"]
    operands = (*node.operands[:carried], *caches, *node.operands[carried:], *tables)
    attrs = dict(node.attrs) | {"carried": carried + len(caches), "index": index}
    return replace(node, operands=operands, attrs=attrs, results=(*node.results, *fresh))


def _index(
    repeat: Node, attentions: Mapping[str, Node | None], counts: dict[Group, int]
) -> tuple[Dim, ...]:
    """Which layer of its group each place of the pattern is, over the iteration ``i``."""
    places = [attentions[name] for name in repeat.attrs["pattern"]]
    owners = [Group.of(node) if node else None for node in places]
    index = []
    for at, group in enumerate(owners):
        if group is None:
            index.append(Dim.of("i"))
            continue
        earlier, per_iteration = owners[:at].count(group), owners.count(group)
        index.append(Dim.of("i") * per_iteration + (counts[group] + earlier))
    for group in set(owners) - {None}:
        assert group is not None
        counts[group] += owners.count(group) * repeat.attrs["count"]
    return tuple(index)
