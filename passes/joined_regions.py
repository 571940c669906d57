"""Region functions made of others: one of each kind, in place of those nobody calls then."""

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
    """The regions that a pass makes of ``module``'s regions, by words that say of which and how."""

    module: Module
    made: dict[tuple[str, ...], Function] = field(default_factory=dict)

    def join(self, words: tuple[str, ...], make: Callable[[str], Function]) -> str:
        """The name of the region of these words, which ``make`` gives for a name at first."""
        if words not in self.made:
            taken = [*self.module.functions, *(f.name for f in self.made.values())]
            self.made[words] = make(Names(taken=taken).fresh("_".join(words)))
        return self.made[words].name

    def region_of(self, call: Node) -> Function:
        """The region that a call names, be it made or the module's."""
        made = {function.name: function for function in self.made.values()}
        return made.get(str(call.attrs["function"])) or region_of(self.module, call)

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
