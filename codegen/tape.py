"""Unrolls an entry function into a flat list of launches over buffers that are not yet placed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..artifact.schema import Rows
from ..ir.graph import Function, Module, Node, Value
from ..ir.interpret import steps_of_repeat
from ..ir.ops import record_of
from ..ir.types import Dim, DType
from .cpp.emit import EmittedRegion
from .cpp.kernel import KernelLaunch, Operand
from .step_rows import TOKENS, KnownRegions, params_taken


@dataclass(frozen=True)
class Place:
    """A buffer of a launch: a value made in the step by number, or a weight, an input or the pages
    of a group by name; ``layer`` is the layer of the group."""

    kind: str  # "value", "weight", "input" or "cache"
    name: int | str
    layer: int | None = None


@dataclass(frozen=True)
class TapeLaunch:
    """One call of a kernel's entry point; ``writes`` are the places of ``buffers`` it fills, and
    ``rows`` the symbol that stands for what its kernel calls T."""

    kernel: str
    buffers: tuple[Place, ...]
    scalars: tuple[Dim, ...]
    writes: tuple[int, ...]
    rows: Rows = TOKENS


@dataclass
class Unrolled:
    """The launches of an entry, the bytes of each value they make, and where its results are."""

    launches: list[TapeLaunch] = field(default_factory=list)
    value_bytes: list[Dim] = field(default_factory=list)
    results: tuple[Place, ...] = ()

    def new_value(self, num_bytes: Dim) -> Place:
        """A place for a value that is made in the step."""
        self.value_bytes.append(num_bytes)
        return Place("value", len(self.value_bytes) - 1)


EmittedOf = Callable[[Function, frozenset[str]], EmittedRegion]
"""Finds the kernel of a region, given the names of its packed parameters."""


class Unroller:
    """Unrolls the functions of ``module``; ``packed`` names weights in the packed layout. With
    ``all_rows`` steps want logits of all tokens, in order: to take their rows is no launch."""

    def __init__(
        self,
        module: Module,
        packed: frozenset[str],
        emitted: EmittedOf,
        all_rows: bool = False,
    ):
        self.module, self.packed, self.emitted, self.all_rows = module, packed, emitted, all_rows
        self._known = KnownRegions()

    def unroll(self, entry: str, known: Mapping[str, Place], tape: Unrolled) -> tuple[Place, ...]:
        """Append the launches of ``entry``; parameters in ``known`` are there, others inputs."""
        function = self.module.functions[entry]
        arguments = [known.get(p.name, _input(p)) for p in function.params]
        return self._function(function, arguments, None, tape)

    def _function(
        self, function: Function, arguments: Sequence[Place], index: int | None, tape: Unrolled
    ) -> tuple[Place, ...]:
        places = dict(zip(function.params, arguments, strict=True))
        for node in function.nodes:
            operands = [places[value] for value in node.operands]
            if node.op == "weight":
                found: Sequence[Place] = [Place("weight", str(node.attrs["name"]))]
            elif node.op == "repeat":
                found = self._repeat(node, operands, tape)
            else:
                found = self._region(node, operands, index, tape)
            places |= dict(zip(node.results, found, strict=True))
        return tuple(places[value] for value in function.results)

    def _repeat(self, node: Node, operands: list[Place], tape: Unrolled) -> Sequence[Place]:
        carried: Sequence[Place] = operands[: node.attrs["carried"]]
        shared = operands[node.attrs["carried"] :]
        for name, families, index, iteration in steps_of_repeat(
            record_of(node.op).complete(node.attrs)
        ):
            own = [Place("weight", f"{family}/{iteration}") for family in families]
            function = self.module.functions[name]
            carried = self._function(function, [*carried, *shared, *own], index, tape)
        return carried

    def _region(
        self, node: Node, operands: list[Place], index: int | None, tape: Unrolled
    ) -> list[Place]:
        region = self.module.functions[node.attrs["function"]]
        taken = params_taken(region) if self.all_rows else []
        if taken:
            return [operands[place] for place in taken]
        packed = frozenset(
            parameter.name
            for parameter, place in zip(region.params, operands, strict=True)
            if place.kind == "weight" and _family(str(place.name)) in self.packed
        )
        emitted, rows = self._known.alike(region)
        kernel = self.emitted(emitted, packed)
        layer = _layer(node, index)
        homes = dict(zip(region.params, operands, strict=True))
        arguments = [
            Place("cache", _group(region, v), layer) if v.dtype is DType.STATE else homes[v]
            for v in region.params
        ]
        written = written_states(region)
        results = [
            homes[written[v]] if v in written else tape.new_value(v.type.num_bytes())
            for v in region.results
        ]
        sizes = [size.renamed({TOKENS: rows}) for size in kernel.workspaces]
        workspaces = [tape.new_value(size) for size in sizes]
        tables = {"param": arguments, "result": results, "workspace": workspaces}
        tape.launches += [_launch(kernel.name, launch, tables, rows) for launch in kernel.launches]
        return results


def _input(parameter: Value) -> Place:
    if parameter.dtype is DType.STATE:
        return Place("cache", parameter.name)
    return Place("input", parameter.name)


def _family(name: str) -> str:
    return name.rsplit("/", 1)[0]


def _layer(node: Node, index: int | None) -> int | None:
    """The layer of its cache group that a call works on."""
    layer = node.attrs.get("layer")
    return None if layer is None else Dim.of(layer).evaluate({"i": index or 0})


def _group(region: Function, state: Value) -> str:
    user = next(node for node in region.nodes if state in node.operands)
    return str(user.attrs["group"])


def written_states(region: Function) -> dict[Value, Value]:
    """Results that are new states of parameters, which keep their places."""
    return {
        state: node.operands[record.operands.index(name)]
        for node in region.nodes
        for record in [record_of(node.op)]
        for name, state in zip(record.writes, node.results, strict=False)
    }


def _launch(
    kernel: str, launch: KernelLaunch, tables: Mapping[str, Sequence[Place]], rows: Rows
) -> TapeLaunch:
    buffers = tuple(_place(operand, tables) for operand in launch.buffers)
    made = ("result", "workspace")
    writes = tuple(i for i, operand in enumerate(launch.buffers) if operand.kind in made)
    scalars = tuple(scalar.renamed({TOKENS: rows}) for scalar in launch.scalars)
    return TapeLaunch(kernel + launch.suffix, buffers, scalars, writes, rows)


def _place(operand: Operand, tables: Mapping[str, Sequence[Place]]) -> Place:
    if operand.kind == "input":
        return Place("input", operand.place)
    return tables[operand.kind][int(operand.place)]
