"""Compiles a module of regions to tapes of GPU kernels: a tape for each size of step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import to_builtins

from ...artifact.schema import Slot
from ...artifact.tuning_table import Configuration, Key
from ...ir.graph import Function, Module
from ...ir.types import Dim
from ..plan import Plan, plan_slots
from ..program import OUTPUTS, buffer_json, input_names
from ..step_rows import term_of
from ..tape import Place, TapeLaunch, Unrolled, Unroller, written_states
from .emit import EmittedRegion, emit_region
from .kernel import Kernel, Steps
from .targets import TARGETS, GpuTarget

VARIANTS: dict[str, tuple[Steps, ...]] = {
    "step": (
        Steps("decode1", 1, one_token_each=True),
        Steps("decode16", 16, one_token_each=True),
        Steps("decode32", 32, one_token_each=True),
        Steps("decode64", 64, one_token_each=True),
        Steps("decode128", 128, one_token_each=True),
        Steps("decode256", 256, one_token_each=True),
        Steps("rows64", 64),
        Steps("rows128", 128),
        Steps("rows256", 256),
        Steps("rows512", 512),
        Steps("rows1024", 1024),
        Steps("any"),
    ),
    "sample": (Steps("any"),),
}
"""The tapes of each entry, in the order in which a step looks for the one that takes it."""


@dataclass(frozen=True)
class GpuProgram:
    """What an artifact says of a GPU target, without its weights and machine code."""

    kernels: dict[str, tuple[Kernel, EmittedRegion]]
    slots: list[Slot]
    outputs: dict[str, int]  # name to slot
    tapes: dict[str, dict[str, Any]]  # by `<entry>.<variant>`, as JSON
    input_names: tuple[str, ...]
    batch_invariant: bool
    chosen: dict[tuple[str, Key], EmittedRegion]  # by the start of the kernels' names


@dataclass
class _Emitter:
    """Emits each region once for each size of step; sizes whose kernels are equal share them."""

    target: GpuTarget
    tuned: Mapping[Key, Configuration]
    regions: dict[str, list[EmittedRegion]] = field(default_factory=dict)
    kernels: dict[str, tuple[Kernel, EmittedRegion]] = field(default_factory=dict)
    chosen: dict[tuple[str, Key], EmittedRegion] = field(default_factory=dict)
    emitted: dict[tuple[str, Steps], EmittedRegion] = field(default_factory=dict)

    def of(self, function: Function, steps: Steps) -> EmittedRegion:
        """The kernels of a region, named after the first size they are made for."""
        key = function.name, steps
        if key not in self.emitted:  # a region stands for a piece of many layers
            self.emitted[key] = self._emit(function, steps)
        return self.emitted[key]

    def _emit(self, function: Function, steps: Steps) -> EmittedRegion:
        made = emit_region(function, replace(steps, target=self.target), self.tuned)
        known = self.regions.setdefault(function.name, [])
        alike = (other.name for other in known if other.kernels == made.kernels)
        name = next(alike, f"{function.name}_{steps.name}")
        made = replace(made, name=name)
        if all(other.name != name for other in known):
            known.append(made)
            self.kernels |= {name + k.suffix: (k, made) for k in made.kernels}
        self.chosen.setdefault((name, made.key), made)
        return made


@dataclass
class _Tapes:
    """All tapes in a row, as if they ran one after another: so they share one arena."""

    module: Module
    emitter: _Emitter
    tape: Unrolled = field(default_factory=Unrolled)
    outputs: dict[str, Place] = field(default_factory=dict)
    tickets: Place | None = None
    spans: dict[str, tuple[Steps, int, int]] = field(default_factory=dict)

    def add(self, entry: str, steps: Steps) -> None:
        """Unroll an entry for steps of a size; its outputs and tickets are those of all others."""
        start, new = len(self.tape.launches), Unrolled(value_bytes=self.tape.value_bytes)
        tickets: set[Place] = set()

        def emitted(function: Function, packed: frozenset[str]) -> Any:
            made = self.emitter.of(function, steps)
            first = len(new.value_bytes) + _num_values(function)
            tickets.update(Place("value", first + place) for place in made.tickets)
            sizes = tuple(bounded_workspace(size, steps) for size in made.workspaces)
            return replace(made, workspaces=sizes)

        unroller = Unroller(self.module, frozenset(), emitted, steps.one_token_each)
        results = unroller.unroll(entry, self.outputs, new)
        named = {
            name: place
            for name, place in zip(OUTPUTS[entry], results, strict=False)
            if place.kind == "value"
        }
        moved = {place: self.outputs.setdefault(name, place) for name, place in named.items()}
        if tickets and self.tickets is None:
            self.tickets = new.new_value(Dim())
        moved |= dict.fromkeys(tickets, self.tickets)  # type: ignore[arg-type]
        self._grow_tickets(tickets)
        self.tape.launches += [_moved(launch, moved) for launch in new.launches]
        self.spans[f"{entry}.{steps.name}"] = (steps, start, len(self.tape.launches))

    def _grow_tickets(self, tickets: set[Place]) -> None:
        if self.tickets is not None:
            size = self.tape.value_bytes[int(self.tickets.name)]
            for place in tickets:
                size = _at_least(size, self.tape.value_bytes[int(place.name)])
            self.tape.value_bytes[int(self.tickets.name)] = size


def compile_gpu_program(
    module: Module,
    target: str,
    batch_invariant: bool = False,
    tuned: Mapping[Key, Configuration] | None = None,
) -> GpuProgram:
    """Emit every region for every size of step, unroll every entry and place its values.

    With ``batch_invariant`` a row has the same bits in every size of step. Configurations are those
    of ``tuned`` where it has them, else what rules say.
    """
    emitter = _Emitter(TARGETS[target], tuned or {})
    tapes = _Tapes(module, emitter)
    for entry in module.entries:
        for steps in VARIANTS[entry]:
            tapes.add(entry, replace(steps, batch_invariant=batch_invariant))
    pinned = [*tapes.outputs.values(), *([tapes.tickets] if tapes.tickets else [])]
    plan = plan_slots(tapes.tape, pinned)
    launches, kernels = tapes.tape.launches, emitter.kernels
    return GpuProgram(
        kernels,
        [Slot(bytes=slot.json()) for slot in plan.slots],
        {
            name: plan.slot_of[int(place.name)]
            for name, place in tapes.outputs.items()
            if int(place.name) in plan.slot_of  # some launch writes it
        },
        {
            name: {
                "launches": [_json(launch, plan, kernels) for launch in launches[start:end]],
                "max_rows": steps.max_rows,
                "one_token_each": steps.one_token_each,
            }
            for name, (steps, start, end) in tapes.spans.items()
        },
        input_names(launches),
        batch_invariant,
        emitter.chosen,
    )


def _num_values(function: Function) -> int:
    """Values that the unroller makes for a region's results, before its workspaces."""
    return len([value for value in function.results if value not in written_states(function)])


def bounded_workspace(size: Dim, steps: Steps) -> Dim:
    """A workspace's bytes for the largest step that a variant takes, for tables of any width."""
    if steps.max_rows is None:
        return size
    terms = dict(size.terms)
    width = Dim.of("P") * terms.pop("P", 0)
    return width + size.const + steps.max_rows * sum(terms.values())


def _at_least(a: Dim, b: Dim) -> Dim:
    """A size that is enough for either, for any size of the symbols."""
    terms = dict(a.terms) | {n: max(f, dict(a.terms).get(n, 0)) for n, f in b.terms}
    total = Dim(max(a.const, b.const))
    for name, factor in terms.items():
        total = total + Dim.of(name) * factor
    return total


def _moved(launch: TapeLaunch, places: dict[Place, Place]) -> TapeLaunch:
    return replace(launch, buffers=tuple(places.get(place, place) for place in launch.buffers))


def _json(
    launch: TapeLaunch, plan: Plan, kernels: dict[str, tuple[Kernel, EmittedRegion]]
) -> dict[str, Any]:
    kernel, _ = kernels[launch.kernel]
    return {
        "kernel": launch.kernel,
        "buffers": [buffer_json(place, plan) for place in launch.buffers],
        "scalars": [scalar.to_json() for scalar in launch.scalars],
        "grid": to_builtins([term_of(term, launch.rows) for term in kernel.grid]),
        "rows": launch.rows,
    }
