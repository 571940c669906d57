"""Region functions made of two others: one for each pair, in place of those nobody calls then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ..ir.graph import Function, Module, Names, Node


def callers_of(module: Module) -> Iterator[Function]:
    """The functions that call regions: entries and layers."""
    return (function for function in module.functions.values() if "anchor" not in function.attrs)


def region_of(module: Module, call: Node) -> Function:
    """The region that a `region` node calls."""
    return module.functions[str(call.attrs["function"])]


@dataclass
class JoinedRegions:
    """The regions that a pass makes of pairs of ``module``'s regions, by their names."""

    module: Module
    made: dict[tuple[str, str], Function] = field(default_factory=dict)

    def join(self, first: Function, second: Function, make: Callable[[str], Function]) -> str:
        """The name of the region of both, which ``make`` gives for a name at the first call."""
        key = (first.name, second.name)
        if key not in self.made:
            taken = [*self.module.functions, *(f.name for f in self.made.values())]
            self.made[key] = make(Names(taken=taken).fresh("_".join(key)))
        return self.made[key].name

    def module_of(self, callers: list[Function]) -> Module:
        """The module with these callers and the regions that they call."""
        called = {n.attrs["function"] for f in callers for n in f.nodes if n.op == "region"}
        module = self.module.with_functions(*callers, *self.made.values())
        kept = {
            name: function
            for name, function in module.functions.items()
            if "anchor" not in function.attrs or name in called
        }
        return replace(module, functions=kept)
