"""Builds an artifact: kernels, plan, tapes and packed weights of a module of regions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from msgspec import convert

from .. import settings
from ..artifact import (
    ArtifactWriter,
    Described,
    Kernel,
    Manifest,
    Model,
    Routing,
    Tape,
    Target,
    TensorSpec,
    Weights,
    plan_files,
    table_of,
)
from ..artifact.choices import write_choices
from ..artifact.scratch import scratch_folder
from ..ir.graph import Module
from ..ir.weights import Weight
from .cpp.choice_records import TunedLevels, choices_of
from .cpp.emit import EmittedRegion
from .cpp.kernel import KernelLaunch
from .cpp.library import build_libraries, build_player, kit_sources
from .cpp.toolchain import LEVELS, compiler_version
from .packing import pack_weights
from .program import Program, compile_program
from .tables import cache_groups, inputs_of

Progress = Callable[[str, int, int], None]
"""Called with a stage, how much of it is done, and its total."""

WeightStream = Callable[[Sequence[Weight]], Iterator[tuple[str, torch.Tensor]]]
"""Runs weight programs: (name, tensor) of every member of every weight, in order."""

KERNELS, PLAYER, TAPES = "kernels/cpu", "player/player.so", "tapes/cpu"


def build_artifact(
    module: Module,
    model: Model,
    tool: Mapping[str, str],
    stream: WeightStream,
    output: str | os.PathLike[str],
    *,
    files: Mapping[str, bytes] | None = None,
    levels: Sequence[str] | None = None,
    tuned: TunedLevels | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the artifact ``output`` for a module at level region; returns its path.

    ``files`` are copied into the artifact (tokenizer, config); ``levels`` limits the
    instruction-set levels. Kernels whose keys are in ``tuned`` have the configurations
    there, others ours. Raises BuildError, and what ``stream`` raises.
    """
    report = progress or (lambda stage, done, total: None)
    stored, packed = pack_weights(module)
    tuned = tuned or {}
    asked = {
        level: {key: one.configuration for key, one in known.items()}
        for level, known in tuned.items()
    }
    program = compile_program(module, packed, asked)
    objects = settings.objects_folder()
    with ArtifactWriter(output) as writer, scratch_folder(objects) as folder:
        with ThreadPoolExecutor(1) as pool:  # the compiler runs while weights are packed
            wanted = [level for level in LEVELS if level in (levels or LEVELS)]
            built = pool.submit(_build_kernels, program, wanted, objects, folder)
            for path, data in sorted((files or {}).items()):
                writer.add_bytes(path, data)
            writer.add_bytes("graph.ir", str(module).encode())
            write_choices(writer, {"cpu": choices_of(module, program.regions, tuned)})
            _write_tapes(writer, program)
            weights = write_weights(writer, "cpu", stored, stream, report)
            report("kernels", 0, 1)
            libraries = _write_kernels(writer, program, built.result())
            report("kernels", 1, 1)
        target = _target(module, program, libraries, weights)
        tool = {**tool, "compiler": compiler_version()}
        return writer.commit(Manifest(tool=tool, model=model, targets={"cpu": target}))


def describe_target(module: Module) -> Described:
    """What `build_artifact` would say of the target; compiles nothing and reads no weight."""
    stored, packed = pack_weights(module)
    libraries = {level: f"{KERNELS}/{level}.so" for level in LEVELS}
    weights = table_of(plan_files("cpu", weight_specs(stored)))
    program = compile_program(module, packed)
    tapes = {name: convert({"launches": tape}, Tape) for name, tape in program.tapes.items()}
    return Described(_target(module, program, libraries, weights), tapes)


def _build_kernels(
    program: Program, levels: Sequence[str], objects: Path, folder: Path
) -> dict[str, Path]:
    """The libraries by level, and the player under the name ``player``."""
    sources = {f"{region.name}.cpp": region.source for region in program.regions}
    libraries = build_libraries(sources, levels, objects, folder)
    build_player(objects, folder / "player.so")
    return libraries | {"player": folder / "player.so"}


def _write_kernels(
    writer: ArtifactWriter, program: Program, built: Mapping[str, Path]
) -> dict[str, str]:
    """Adds libraries, player and sources; gives the paths of the libraries by level."""
    sources = {f"{region.name}.cpp": region.source for region in program.regions}
    for name, text in sorted((sources | kit_sources()).items()):
        writer.add_bytes(f"{KERNELS}/source/{name}", text.encode())
    paths = {name: f"{KERNELS}/{name}.so" for name in built} | {"player": PLAYER}
    for name, path in built.items():
        writer.add_bytes(paths[name], path.read_bytes())
    return {name: path for name, path in paths.items() if name != "player"}


def _write_tapes(writer: ArtifactWriter, program: Program) -> None:
    for name, launches in program.tapes.items():
        text = json.dumps({"launches": launches}, separators=(",", ":"))
        writer.add_bytes(f"{TAPES}/{name}.json", text.encode())


def write_weights(
    writer: ArtifactWriter,
    target: str,
    stored: Sequence[Weight],
    stream: WeightStream,
    report: Progress,
) -> Weights:
    """Adds the weights as ``target`` stores them."""
    specs = weight_specs(stored)
    file, total, done = writer.weights(target, specs), sum(spec.bytes for spec in specs), 0
    for name, tensor in stream(stored):
        file.add(name, tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        done += tensor.nbytes
        del tensor  # before the next one is made
        report("weights", done, total)
    return file.finish()


def weight_specs(stored: Sequence[Weight]) -> list[TensorSpec]:
    """Name, type and shape of every member of every weight."""
    return [
        TensorSpec(name, weight.type.dtype.value.upper(), tuple(map(int, weight.type.shape)))
        for weight in stored
        for name, _ in weight.members()
    ]


def _target(
    module: Module, program: Program, libraries: dict[str, str], weights: Weights
) -> Target:
    return Target(
        batch_invariant=True,
        levels=libraries,
        player=PLAYER,
        inputs=inputs_of(module, program.input_names),
        slots=program.slots,
        outputs=program.outputs,
        cache_groups=cache_groups(module),
        tapes={name: f"{TAPES}/{name}.json" for name in program.tapes},
        weights=weights,
        kernels=[
            _kernel(region, launch) for region in program.regions for launch in region.launches
        ],
    )


def _kernel(region: EmittedRegion, launch: KernelLaunch) -> Kernel:
    """One entry point of a region."""
    cost = launch.cost or region.cost
    return Kernel(
        name=region.name + launch.suffix,
        region=region.name.removeprefix("tapeout_"),
        anchor=region.anchor,
        math=region.math,
        source=f"{KERNELS}/source/{region.name}.cpp",
        operands=[*launch.buffers],
        **cost.to_json(),
        routing=Routing(*region.routing) if region.routing else None,
    )
