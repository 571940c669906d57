"""Layer weights are parameters bound by `repeat`: finding, adding and removing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..ir.graph import Function, Module, Names, Node, Value
from ..ir.weights import Weight


def repeats_of(module: Module, layer: str) -> Iterator[tuple[Function, Node]]:
    """Every repeat that calls ``layer``, with the function that holds it."""
    for function in module.functions.values():
        for node in function.nodes:
            if node.op == "repeat" and layer in node.attrs["pattern"]:
                yield function, node


def layer_names(module: Module) -> list[str]:
    """The function of each layer, in the order in which they run."""
    entries = [module.functions[name] for name in module.entries]
    repeats = [node for entry in entries for node in entry.nodes if node.op == "repeat"]
    return [name for node in repeats for name in node.attrs["pattern"] * int(node.attrs["count"])]


def weight_parameters(module: Module, function: Function) -> tuple[Value, ...]:
    """Parameters of a layer function that `repeat` binds to weights; none for other functions."""
    for _, node in repeats_of(module, function.name):
        return function.params[len(node.operands) :]
    return ()


def _rebind(
    module: Module, layer: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]
) -> Module:
    """Change the families bound to ``layer`` at each of its places."""
    for function in list(module.functions.values()):
        nodes = []
        for node in function.nodes:
            if node.op == "repeat" and layer in node.attrs["pattern"]:
                pairs = zip(node.attrs["pattern"], node.attrs["weights"], strict=True)
                bound = tuple(change(w) if name == layer else w for name, w in pairs)
                node = replace(node, attrs=dict(node.attrs) | {"weights": bound})
            nodes.append(node)
        module = module.with_functions(replace(function, nodes=tuple(nodes)))
    return module


def add_weight(
    module: Module,
    layer: str,
    parts: Sequence[Value],
    combine: Callable[[Sequence[Weight]], Weight],
    stem: str,
) -> tuple[Module, Value]:
    """Append a parameter to ``layer`` whose families combine those of the parameters ``parts``."""
    function = module.functions[layer]
    places = [weight_parameters(module, function).index(value) for value in parts]
    made: list[Weight] = []

    def change(families: tuple[str, ...]) -> tuple[str, ...]:
        made.append(combine([module.weights[families[place]] for place in places]))
        return (*families, made[-1].name)

    module = _rebind(module, layer, change).with_weights(*made)
    parameter = Value(Names(function).fresh(stem), made[0].type)
    function = replace(module.functions[layer], params=(*function.params, parameter))
    return module.with_functions(function), parameter


def drop_weight_parameters(module: Module, layer: str, dead: Sequence[Value]) -> Module:
    """Remove weight parameters of ``layer`` and what is bound to them."""
    function = module.functions[layer]
    own = weight_parameters(module, function)
    kept = [place for place, value in enumerate(own) if value not in dead]
    module = _rebind(module, layer, lambda families: tuple(families[place] for place in kept))
    params = tuple(value for value in function.params if value not in dead)
    return module.with_functions(replace(module.functions[layer], params=params))
