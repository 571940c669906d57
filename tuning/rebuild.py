"""A new artifact out of an old one: the same model and weights, kernels configured by a table, and
where that says nothing as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from .. import __version__
from ..artifact import Artifact, Target
from ..artifact.choices import CHOICES
from ..artifact.tuning_table import Key, Table
from ..codegen.build import Progress, build_artifact
from ..codegen.triton.build import build_gpu_artifact
from ..codegen.tuned_kernels import Tuned, tuned_for, tuned_in
from ..ir.graph import Module
from ..ir.parser import parse_module
from ..ir.weights import Weight

GRAPH = "graph.ir"
_BUILT = ("kernels/", "tapes/", "weights/", "player/")


def rebuild(
    artifact: Path,
    output: str | os.PathLike[str],
    table: Table,
    progress: Progress | None = None,
) -> Path:
    """Writes ``output`` as compiling the model with ``table`` would; no checkpoint is needed.

    What the artifact has from earlier tables stays where this one knows nothing.
    Raises ArtifactError or BuildError.
    """
    opened = Artifact.open(artifact)
    manifest = opened.manifest
    [(name, target)] = manifest.targets.items()
    module = _in_order(parse_module(opened.read(GRAPH).decode()), target)
    tool = {**manifest.tool, "tapeout": __version__}
    files = {path: opened.read(path) for path in manifest.files if _is_kept(path)}

    def stream(weights: Sequence[Weight]) -> Iterator[tuple[str, torch.Tensor]]:
        for weight in weights:
            for member, _ in weight.members():
                yield member, torch.from_numpy(opened.weight(name, member).copy())

    def tuned(arch: str) -> dict[Key, Tuned]:
        return {**tuned_in(opened, name, arch), **tuned_for(table, arch)}

    common = (module, manifest.model, tool, stream, output)
    if target.levels:
        levels = list(target.levels)
        return build_artifact(
            *common,
            files=files,
            levels=levels,
            tuned={level: tuned(level) for level in levels},
            progress=progress,
        )
    return build_gpu_artifact(
        *common,
        name,
        batch_invariant=target.batch_invariant,
        tuned=tuned(name.split(":")[-1]),
        files=files,
        progress=progress,
    )


def _in_order(module: Module, target: Target) -> Module:
    """The module with its weights in the order in which they are stored, which no text holds."""
    places = {name: place for place, name in enumerate(target.weights.tensors)}
    weights = sorted(module.weights.values(), key=lambda w: places[w.members()[0][0]])
    return replace(module, weights={weight.name: weight for weight in weights})


def _is_kept(path: str) -> bool:
    return not path.startswith(_BUILT) and path not in (GRAPH, CHOICES)
