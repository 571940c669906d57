"""Records of what was chosen for the kernels of a program, as an artifact holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...artifact.choices import Candidate, KernelChoice, from_table
from ...artifact.tuning_table import Key
from ..tuned_kernels import Tuned
from .choice import Choice, fields_of
from .emit import EmittedRegion
from .program import GpuProgram


def choices_of(program: GpuProgram, tuned: Mapping[Key, Tuned]) -> list[KernelChoice]:
    """A record for each kernel and each key that it has; ``tuned`` is what was asked for."""
    return [
        _choice([name + kernel.suffix for kernel in region.kernels], region, tuned)
        for (name, _), region in program.chosen.items()
    ]


def _choice(names: list[str], region: EmittedRegion, tuned: Mapping[Key, Tuned]) -> KernelChoice:
    choice, key = region.choice, region.key
    if choice is None:
        return KernelChoice(kernels=names, key=key, configuration={}, origin="the only one")
    is_tuned = choice.rule is None
    return KernelChoice(
        kernels=names,
        key=key,
        kind=choice.chosen.kind,
        configuration=fields_of(choice.chosen),
        origin=from_table(tuned[key].device) if is_tuned else f"rule: {choice.rule}",
        time_s=tuned[key].time_s if is_tuned else None,
        candidates=[*_candidates(choice)],
    )


def _candidates(choice: Choice[Any]) -> Iterator[Candidate]:
    for other, reason in choice.others.items():
        yield Candidate(kind=other.kind, configuration=fields_of(other), reason=reason)
    for kind, reason in choice.kinds.items():
        yield Candidate(kind=kind, configuration={}, reason=reason)
