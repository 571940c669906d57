"""Cuts the flat traced function at the model's repeated layers: one function for each layer.

A layer becomes a function of what it carries, of what all layers share, and of its own weights,
called by a `repeat` of count 1. Which layers are the same is for the pass `roll_layers` to find.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ..errors import UnsupportedModelError
from ..ir.graph import Function, Module, Names, Node, Value, substitute
from ..ir.weights import Weight


@dataclass(frozen=True)
class Segment:
    """Consecutive nodes of one layer: its path, what flows in, what others read of it."""

    path: str
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    results: tuple[Value, ...]


def cut_layers(function: Function, weights: Mapping[str, Weight], lists: Sequence[str]) -> Module:
    """The module of ``function`` with the layers of the module lists at ``lists`` cut out.

    Raises UnsupportedModelError unless exactly one value is carried from each layer to the next,
    and each layer has at most one attention.
    """
    module = Module({"step": function}, ("step",), weights, "traced")
    moved = _weights_to_users(function)
    segments = _segments(moved, lists)
    carried = _carried(segments, _from_tokens(moved))
    _check_attention(moved, segments if carried else [])
    return _assemble(module, moved, segments, carried) if carried else module


def _check_attention(function: Function, segments: Sequence[Segment]) -> None:
    """Each layer has a cache of its own: attention must be in a layer, once."""
    places = [{value for node in s.nodes for value in node.results} for s in segments]
    used: set[int] = set()
    for node in function.nodes:
        if node.op != "attention":
            continue
        place = next((at for at, own in enumerate(places) if node.result in own), None)
        if place is None:
            raise UnsupportedModelError(
                f"{node.origin}: attention outside of layers that carry one value each to the next"
            )
        if place in used:
            raise UnsupportedModelError(f"{segments[place].path}: has more than one attention")
        used.add(place)


def _weights_to_users(function: Function) -> Function:
    """Each weight right before its first user and of its origin, so that layers are contiguous."""
    pending = {node.result: node for node in function.nodes if node.op == "weight"}
    nodes: list[Node] = []
    for node in function.nodes:
        if node.op != "weight":
            own = [pending.pop(value) for value in node.operands if value in pending]
            nodes += [replace(weight, origin=node.origin) for weight in own] + [node]
    return replace(function, nodes=tuple(nodes))


def _layer_of(origin: str, lists: Sequence[str]) -> str:
    matches = (re.match(rf"{re.escape(path)}\.\d+(?=\.|$)", origin) for path in lists)
    return next((match[0] for match in matches if match), "")


def _segments(function: Function, lists: Sequence[str]) -> list[Segment]:
    readers: dict[Value, set[str]] = {value: {""} for value in function.results}
    layers = [_layer_of(node.origin, lists) for node in function.nodes]
    for node, layer in zip(function.nodes, layers, strict=True):
        for value in node.operands:
            readers.setdefault(value, set()).add(layer)
    segments = []
    pairs = zip(function.nodes, layers, strict=True)
    for path, group in groupby(pairs, lambda pair: pair[1]):
        if path:
            segments.append(_segment(path, tuple(node for node, _ in group), readers))
    return segments


def _segment(path: str, nodes: tuple[Node, ...], readers: Mapping[Value, set[str]]) -> Segment:
    own = [value for node in nodes for value in node.results]
    read = dict.fromkeys(value for node in nodes for value in node.operands)
    inputs = tuple(value for value in read if value not in set(own))
    results = tuple(value for value in own if readers.get(value, set()) - {path})
    return Segment(path, nodes, inputs, results)


def _from_tokens(function: Function) -> set[Value]:
    """Values that depend on the first input, the token ids."""
    found = set(function.params[:1])
    for node in function.nodes:
        if any(value in found for value in node.operands):
            found.update(node.results)
    return found


def _carried(segments: Sequence[Segment], hidden: set[Value]) -> list[Value]:
    """The value that each segment takes from the one before; nothing when that is not one."""
    if not segments or any(len(segment.results) != 1 for segment in segments):
        return []
    paths = [segment.path for segment in segments]
    if len(set(paths)) != len(paths):
        return []
    later = {value for segment in segments[1:] for value in segment.inputs}
    type = segments[0].results[0].type
    inputs = [value for value in segments[0].inputs if value in hidden]
    first = [value for value in inputs if value.type == type and value not in later]
    carried = first + [segment.results[0] for segment in segments[:-1]]
    fits = len(first) == 1 and all(
        value in segment.inputs and segment.results[0].type == type
        for value, segment in zip(carried, segments, strict=True)
    )
    return carried if fits else []


def _assemble(
    module: Module, flat: Function, segments: Sequence[Segment], carried: Sequence[Value]
) -> Module:
    """Replace each segment by a call of its function."""
    first = set(carried)
    shared = tuple(
        dict.fromkeys(v for segment in segments for v in segment.inputs if v not in first)
    )
    calls: dict[Value, Node] = {}
    inside: set[Value] = set()
    for index, (segment, value) in enumerate(zip(segments, carried, strict=True)):
        function, families = _layer(f"layer{index}", segment, value, shared)
        attrs = {"pattern": (function.name,), "count": 1, "carried": 1, "weights": (families,)}
        node = Node("repeat", (value, *shared), attrs, segment.results, segment.path)
        calls[segment.nodes[-1].results[0]] = node
        inside.update(result for inner in segment.nodes for result in inner.results)
        owned = [replace(module.weights[name], count=1) for name in families]
        module = module.with_functions(function).with_weights(*owned)
    nodes = [calls.get(n.results[0], n) for n in flat.nodes]
    kept = tuple(n for n in nodes if n.op == "repeat" or n.results[0] not in inside)
    return module.with_functions(replace(flat, nodes=kept))


def _layer(
    name: str, segment: Segment, carried: Value, shared: tuple[Value, ...]
) -> tuple[Function, tuple[str, ...]]:
    """The layer's function and the names of its weights, in the order of its parameters."""
    own = [node for node in segment.nodes if node.op == "weight"]
    body = tuple(node for node in segment.nodes if node.op != "weight")
    families = tuple(str(node.attrs["name"]) for node in own)
    params = (carried, *shared, *(node.result for node in own))
    stems = ["hidden", *(value.name for value in shared)]
    stems += [family.removeprefix(f"{segment.path}.") for family in families]
    function = Function(name, params, body, segment.results)
    names = Names(function)
    renamed = [
        Value(value.name if value.name == stem else names.fresh(stem), value.type)
        for value, stem in zip(params, stems, strict=True)
    ]
    function = substitute(
        function, {old: new for old, new in zip(params, renamed, strict=True) if old != new}
    )
    return replace(function, params=tuple(renamed)), families
