"""Groups of nodes that shall become one region, merged only where no cycle can arise.

Constants, reshapes, slices and broadcasts cost nothing to repeat: they are *free*, belong to no
group, and are copied into each region that reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..ir.graph import Context, Function, Node, Value, context_of
from ..ir.ops.sampling import RESULTS
from ..ir.types import Dim, DType

FREE = {"constant", "reshape", "slice", "broadcast"}
OUTSIDE = {"weight", "repeat", "region"}


@dataclass(eq=False)
class Group:
    """Nodes of one region. ``anchor`` is linear, attention, experts, sample or rows."""

    anchor: str
    nodes: list[Node] = field(default_factory=list)


class Grouping:
    """The groups of a function. `merge` refuses what would make two groups need each other."""

    def __init__(self, function: Function):
        self.context: Context = context_of(function)
        self.order = {id(node): at for at, node in enumerate(function.nodes)}
        self.of: dict[int, Group] = {}
        for node in function.nodes:
            if not self.is_free(node):
                self.of[id(node)] = Group(anchor_of(node), [node])

    def is_free(self, node: Node) -> bool:
        """True for a free op unless its result must lie in memory as it is: returned, passed to
        layers, or, for what is no mere view, read by an anchor."""
        if node.op not in FREE:
            return False
        readers = self.readers(node.result)
        needed = any(reader.op in OUTSIDE for reader in readers)
        if node.op in {"slice", "broadcast"}:
            needed |= any(anchor_of(reader) != "rows" for reader in readers)
        return not needed and node.result not in self.context.function.results

    def readers(self, value: Value) -> list[Node]:
        """The nodes that read ``value``, also through reshapes."""
        found = []
        for reader in self.context.users.get(value, []):
            found += [reader, *(self.readers(reader.result) if reader.op == "reshape" else [])]
        return found

    def groups(self) -> list[Group]:
        """Every group once, in the order of its first node."""
        return list(dict.fromkeys(self.of.values()))

    def sources(self, value: Value) -> Iterator[tuple[Value, Node | None]]:
        """The values that ``value`` really reads, seen through free nodes, with their makers."""
        node = self.context.producer(value)
        if node is None or not self.is_free(node):
            yield value, node
            return
        for operand in node.operands:
            yield from self.sources(operand)

    def inputs(self, group: Group) -> list[Group]:
        """Groups that ``group`` reads from."""
        found: dict[Group, None] = {}
        for node in group.nodes:
            for operand in node.operands:
                for _, maker in self.sources(operand):
                    if maker is not None and self.of[id(maker)] is not group:
                        found[self.of[id(maker)]] = None
        return list(found)

    def needs(self, group: Group, other: Group) -> bool:
        """True when ``group`` reads from ``other``, directly or through others."""
        stack, seen = self.inputs(group), set()
        while stack:
            current = stack.pop()
            if current is other:
                return True
            if id(current) not in seen:
                seen.add(id(current))
                stack += self.inputs(current)
        return False

    def can_merge(self, a: Group, b: Group) -> bool:
        """True when no third group lies on a way between the two."""
        for reader, source in ((a, b), (b, a)):
            others = [group for group in self.inputs(reader) if group is not source]
            if any(self.needs(group, source) for group in others):
                return False
        return a is not b

    def merge(self, a: Group, b: Group, anchor: str) -> bool:
        """Make one group of two if that is legal; says whether it did."""
        if not self.can_merge(a, b):
            return False
        a.anchor = anchor
        a.nodes = sorted([*a.nodes, *b.nodes], key=lambda node: self.order[id(node)])
        for node in b.nodes:
            self.of[id(node)] = a
        b.nodes = []
        return True

    def in_order(self) -> list[Group]:
        """Groups so that each comes after those it reads from."""
        done: dict[Group, None] = {}

        def visit(group: Group) -> None:
            for source in self.inputs(group):
                if source not in done:
                    visit(source)
            done.setdefault(group)

        for group in self.groups():
            visit(group)
        return list(done)


def anchor_of(node: Node) -> str:
    """The kind of region that a node starts."""
    named = {"linear": "linear", "paged_attention": "attention", "experts": "experts"}
    named |= dict.fromkeys(RESULTS, "sample") | dict.fromkeys(OUTSIDE, "outside")
    return named.get(node.op, "rows")


def leading(group: Group) -> Dim | None:
    """The leading dimension of a group's rows."""
    values = [v for node in group.nodes for v in (*node.results, *node.operands)]
    ranked = [v for v in values if v.dtype is not DType.STATE and v.type.rank]
    best = next((v for v in ranked if v.type.rank > 1), ranked[0] if ranked else None)
    return best.shape[0] if best else None
