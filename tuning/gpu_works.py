"""The kernels of an artifact for a GPU that have a choice, and where steps have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..artifact import Artifact, Launch
from ..artifact.choices import read_choices
from ..artifact.tuning_table import Configuration, Key
from ..codegen.triton.emit import EmittedRegion, emit_region, gpu_key
from ..codegen.triton.kernel import Steps
from ..codegen.triton.program import VARIANTS, GpuProgram, compile_gpu_program
from ..codegen.triton.targets import TARGETS
from ..errors import InputError
from ..ir.graph import Function, Module
from ..ir.parser import parse_module
from .gpu_calls import Call, calls_of

ENTRY = "step"


class GpuWork(NamedTuple):
    """A region's kernels for steps of some sizes."""

    function: Function
    steps: Steps  # the first that have the kernels
    tape: str  # of these steps
    region: EmittedRegion  # as the artifact has it; its name is that of its kernels
    calls: Sequence[Call]  # in the tape

    @property
    def names(self) -> list[str]:
        """Of the artifact's kernels."""
        return [self.region.name + kernel.suffix for kernel in self.region.kernels]

    def emit(self, configuration: Configuration) -> EmittedRegion:
        """The region in another configuration. Raises BuildError."""
        return emit_region(self.function, self.steps, {self.region.key: configuration})


class GpuWorks:
    """An artifact's program, compiled again from its graph and its choices."""

    def __init__(self, artifact: Artifact, target: str) -> None:
        self.target = artifact.manifest.targets[target]
        self.kernels = {kernel.name: kernel for kernel in self.target.kernels}
        self._module: Module = parse_module(artifact.read("graph.ir").decode())
        self._kind, is_invariant = TARGETS[target], self.target.batch_invariant
        choices = read_choices(artifact, target)
        asked = {choice.key: choice.configuration for choice in choices if choice.configuration}
        program = compile_gpu_program(self._module, target, is_invariant, asked)
        _check(artifact, program, self._kind.hopper_or_later)
        self.tapes: dict[str, list[Launch]] = {
            f"{ENTRY}.{steps.name}": artifact.tape(target, f"{ENTRY}.{steps.name}").launches
            for steps in VARIANTS[ENTRY]
        }
        self.all = list(self._works(program))
        self.by_key = {work.region.key: work for work in reversed(self.all)}

    def _works(self, program: GpuProgram) -> Iterator[GpuWork]:
        """One for each tape that has it: tapes of as many rows have works of the same key."""
        regions = {key: region for (_, key), region in program.chosen.items() if region.choice}
        for steps in VARIANTS[ENTRY]:
            made_for = replace(
                steps, target=self._kind, batch_invariant=self.target.batch_invariant
            )
            tape = f"{ENTRY}.{steps.name}"
            for function in self._module.functions.values():
                region = self._region(function, made_for, regions)
                if region is not None:
                    names = [region.name + kernel.suffix for kernel in region.kernels]
                    calls = list(calls_of(self.tapes[tape], names, self.kernels))
                    if calls:
                        yield GpuWork(function, made_for, tape, region, calls)

    def _region(
        self, function: Function, steps: Steps, regions: Mapping[Key, EmittedRegion]
    ) -> EmittedRegion | None:
        if "anchor" not in function.attrs:
            return None
        found = regions.get(gpu_key(function, steps))
        return found if found is not None and found.region == function.name else None


def _check(artifact: Artifact, program: GpuProgram, hopper_or_later: bool) -> None:
    """Another version of the compiler would have other kernels: what is timed would be others'."""
    sources = {k.name: k.source for t in artifact.manifest.targets.values() for k in t.kernels}
    for name, (kernel, _) in program.kernels.items():
        text = kernel.source_as(name, hopper_or_later).encode()
        if name not in sources or artifact.read(sources[name]) != text:
            raise InputError(
                f"{artifact.path} was compiled by another tapeout: this one's kernel {name} has "
                "another text; compile the model anew"
            )
