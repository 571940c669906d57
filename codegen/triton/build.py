"""Builds an artifact for a GPU: kernels as machine code, tapes for sizes of steps, weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import convert

from ... import settings
from ...artifact import (
    ArtifactWriter,
    Cubin,
    Described,
    Manifest,
    Model,
    Routing,
    Tape,
    Target,
    Weights,
    plan_files,
    table_of,
)
from ...artifact import Kernel as KernelRecord
from ...artifact.choices import write_choices
from ...artifact.scratch import scratch_folder
from ...artifact.tuning_table import Key
from ...ir.graph import Module
from ..build import Progress, WeightStream, weight_specs, write_weights
from ..cpp.cost import Cost
from ..tables import cache_groups, inputs_of
from ..tuned_kernels import Tuned
from .choice_records import choices_of
from .compile import Compiled, compile_kernels, triton_version
from .kernel import Kernel
from .player import build_cuda_player
from .program import GpuProgram, compile_gpu_program
from .targets import TARGETS

PLAYER = "player/player_cuda.so"


def build_gpu_artifact(
    module: Module,
    model: Model,
    tool: Mapping[str, str],
    stream: WeightStream,
    output: str | os.PathLike[str],
    target: str,
    *,
    batch_invariant: bool = False,
    tuned: Mapping[Key, Tuned] | None = None,
    files: Mapping[str, bytes] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the artifact ``output`` for a module at level region; returns its path.

    With ``batch_invariant`` a row has the same bits in steps of all sizes. Kernels whose keys are
    in ``tuned`` have the configurations there, others what rules say. No GPU is needed.
    Raises BuildError, and what ``stream`` raises.
    """
    report = progress or (lambda stage, done, total: None)
    tuned = tuned or {}
    asked = {key: found.configuration for key, found in tuned.items()}
    program = compile_gpu_program(module, target, batch_invariant, asked)
    stored = list(module.weights.values())
    objects = settings.objects_folder()
    sources = {name: kernel for name, (kernel, _) in program.kernels.items()}
    with ArtifactWriter(output) as writer, scratch_folder(objects) as folder:
        with ThreadPoolExecutor(1) as pool:  # workers compile while weights are written
            built = pool.submit(compile_kernels, sources, target, objects)
            for path, data in sorted((files or {}).items()):
                writer.add_bytes(path, data)
            writer.add_bytes("graph.ir", str(module).encode())
            write_choices(writer, {target: choices_of(program, tuned)})
            weights = write_weights(writer, folder_of(target), stored, stream, report)
            report("kernels", 0, 1)
            _write_kernels(writer, program, built.result(), target)
            report("kernels", 1, 1)
        _write_tapes(writer, program, target)
        if _player_of(target):
            build_cuda_player(objects, folder / "player_cuda.so")
            writer.add_bytes(PLAYER, (folder / "player_cuda.so").read_bytes())
        record = _target(module, program, weights, target, built.result())
        tool = {**tool, "triton": triton_version()}
        return writer.commit(Manifest(tool=tool, model=model, targets={target: record}))


def describe_gpu_target(module: Module, target: str, batch_invariant: bool = False) -> Described:
    """What `build_gpu_artifact` would say of the target; compiles nothing, reads no weight."""
    stored = list(module.weights.values())
    weights = table_of(plan_files(folder_of(target), weight_specs(stored)))
    program = compile_gpu_program(module, target, batch_invariant)
    tapes = {name: convert(tape, Tape) for name, tape in program.tapes.items()}
    return Described(_target(module, program, weights, target, {}), tapes)


def folder_of(target: str) -> str:
    """The name of a target in paths."""
    return target.replace(":", "-")


def _player_of(target: str) -> str | None:
    """The file of the player; there is none for AMD's driver yet."""
    return PLAYER if TARGETS[target].backend == "cuda" else None


def _write_kernels(
    writer: ArtifactWriter, program: GpuProgram, built: Mapping[str, Compiled], target: str
) -> None:
    for name, (kernel, _) in program.kernels.items():
        source = kernel.source_as(name, TARGETS[target].hopper_or_later)
        writer.add_bytes(_source_of(target, name), source.encode())
        writer.add_bytes(_binary_of(target, name), built[name].cubin.read_bytes())
        writer.add_bytes(_assembly_of(target, name), built[name].assembly.read_bytes())


def _write_tapes(writer: ArtifactWriter, program: GpuProgram, target: str) -> None:
    for name, tape in program.tapes.items():
        text = json.dumps(tape, separators=(",", ":"))
        writer.add_bytes(_tape_of(target, name), text.encode())


def _source_of(target: str, kernel: str) -> str:
    return f"kernels/{folder_of(target)}/source/{kernel}.py"


def _binary_of(target: str, kernel: str) -> str:
    return f"kernels/{folder_of(target)}/{kernel}.{TARGETS[target].binary}"


def _assembly_of(target: str, kernel: str) -> str:
    return f"kernels/{folder_of(target)}/assembly/{kernel}.{TARGETS[target].assembly}.gz"


def _tape_of(target: str, tape: str) -> str:
    return f"tapes/{folder_of(target)}/{tape}.json"


def _target(
    module: Module,
    program: GpuProgram,
    weights: Weights,
    target: str,
    built: Mapping[str, Compiled],
) -> Target:
    return Target(
        levels={},
        player=_player_of(target),
        inputs=inputs_of(module, program.input_names),
        slots=program.slots,
        outputs=program.outputs,
        cache_groups=cache_groups(module),
        tapes={name: _tape_of(target, name) for name in program.tapes},
        weights=weights,
        kernels=_kernels(program, target, built),
        batch_invariant=program.batch_invariant,
    )


def _kernels(program: GpuProgram, target: str, built: Mapping[str, Compiled]) -> list[KernelRecord]:
    return [
        KernelRecord(
            name=name,
            region=region.region,
            anchor=region.anchor,
            math=region.math,
            source=_source_of(target, name),
            **_cost(kernel).to_json(),
            tiles=list(kernel.tiles) if kernel.tiles else None,
            routing=Routing(*region.routing) if region.routing else None,
            operands=[*kernel.buffers],
            cubin=_cubin(name, built[name], kernel, target) if built else None,
        )
        for name, (kernel, region) in program.kernels.items()
    ]


def _cost(kernel: Kernel) -> Cost:
    assert kernel.cost is not None, f"{kernel.suffix}: an emitted kernel has its cost"
    return kernel.cost


def _cubin(name: str, compiled: Compiled, kernel: Kernel, target: str) -> Cubin:
    return Cubin(
        file=_binary_of(target, name),
        assembly=_assembly_of(target, name),
        entry=compiled.entry,
        num_warps=compiled.num_warps,
        shared_bytes=compiled.shared_bytes,
        registers=compiled.registers,
        local_bytes=compiled.local_bytes,
        begins_early=kernel.begins_early and TARGETS[target].hopper_or_later,
        maps=compiled.maps,
    )
