"""Compiles a module of regions to what runs: emitted kernels, arena slots and tapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..artifact.schema import Slot
from ..ir.graph import Function, Module
from .cpp.choices import Asked
from .cpp.emit import EmittedRegion, emit_region
from .plan import Plan, plan_slots
from .tape import Place, TapeLaunch, Unrolled, Unroller

OUTPUTS = {
    "step": ("logits",),
    "sample": ("sampled", "chosen_logprobs", "ranks", "top_token_ids", "top_logprobs"),
}
"""The first results of each entry, by the names an artifact gives them."""


@dataclass(frozen=True)
class Program:
    """What an artifact says of a target, without its weights."""

    regions: tuple[EmittedRegion, ...]
    slots: list[Slot]
    outputs: dict[str, int]  # name to slot
    tapes: dict[str, list[dict[str, Any]]]  # launches of each entry, as JSON
    input_names: tuple[str, ...]  # every input that some launch reads, in order of first use


@dataclass
class _Emitter:
    """Emits each distinct region once; regions whose C++ is equal share a kernel."""

    asked: Asked
    regions: dict[tuple[str, frozenset[str]], EmittedRegion] = field(default_factory=dict)

    def __call__(self, function: Function, packed: frozenset[str]) -> EmittedRegion:
        key = (function.name, packed)
        if key not in self.regions:
            made = emit_region(function, packed, self.asked)
            for other in self.regions.values():
                if other.body == made.body:
                    made = replace(made, name=other.name, source=other.source)
            self.regions[key] = made
        return self.regions[key]

    def distinct(self) -> tuple[EmittedRegion, ...]:
        """One region for each kernel."""
        return tuple({region.name: region for region in reversed(self.regions.values())}.values())


def compile_program(module: Module, packed: frozenset[str], asked: Asked | None = None) -> Program:
    """Emit every region, unroll every entry and place its values; entries run one after another.

    Kernels have the configurations that are ``asked`` for. Raises BuildError where one cannot.
    """
    emitter = _Emitter(asked or {})
    unroller, tape = Unroller(module, packed, emitter), Unrolled()
    known: dict[str, Place] = {}
    ends = [0]
    for entry in module.entries:
        results = unroller.unroll(entry, known, tape)
        named = zip(OUTPUTS[entry], results, strict=False)  # what is written in place comes after
        known |= {name: place for name, place in named if place.kind == "value"}
        ends.append(len(tape.launches))
    plan = plan_slots(tape, known.values())
    parts = zip(module.entries, ends[:-1], ends[1:], strict=True)
    return Program(
        emitter.distinct(),
        [Slot(bytes=slot.json()) for slot in plan.slots],
        {name: plan.slot_of[int(place.name)] for name, place in known.items()},
        {name: [_json(launch, plan) for launch in tape.launches[a:b]] for name, a, b in parts},
        input_names(tape.launches),
    )


def _json(launch: TapeLaunch, plan: Plan) -> dict[str, Any]:
    return {
        "kernel": launch.kernel,
        "buffers": [buffer_json(place, plan) for place in launch.buffers],
        "scalars": [scalar.to_json() for scalar in launch.scalars],
        "rows": launch.rows,
    }


def buffer_json(place: Place, plan: Plan) -> list[str | int]:
    """A buffer of a launch as a tape stores it."""
    if place.kind == "value":
        return ["slot", plan.slot_of[int(place.name)]]
    if place.kind == "cache":
        assert place.layer is not None, f"{place.name} without a layer"
        return ["cache", place.name, place.layer]
    return [place.kind, place.name]


def input_names(launches: Sequence[TapeLaunch]) -> tuple[str, ...]:
    """Every input that some launch reads, in order of first use."""
    places = (place for launch in launches for place in launch.buffers if place.kind == "input")
    return tuple(dict.fromkeys(str(place.name) for place in places))
