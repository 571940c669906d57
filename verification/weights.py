"""An artifact's weights against the programs that made them, run on the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..artifact import Artifact
from ..codegen.packing import PACKERS, pack_weights
from ..codegen.pages import CPU
from ..errors import CheckpointError
from ..frontend.source import open_source
from ..frontend.weights import stream_weights
from ..runtime.memory import Bytes
from .findings import Findings
from .kernels import Progress
from .subject import read_module

_REMEDY = "give the checkpoint that the artifact was compiled from"


def check_weights(
    artifact: Artifact, checkpoint: Path, findings: Findings, progress: Progress
) -> None:
    """Byte for byte, one tensor at a time, of all targets.

    Raises CheckpointError for one that is damaged, or has other tensors.
    """
    try:
        _compare(artifact, checkpoint, findings, progress)
    except CheckpointError as error:
        remedy = error.remedy or _REMEDY
        raise CheckpointError(error.file, error.field, error.found, error.wanted, remedy) from None


def _compare(artifact: Artifact, checkpoint: Path, findings: Findings, progress: Progress) -> None:
    before, count = findings.num_faults, 0
    module, source = read_module(artifact), open_source(checkpoint)
    for name, target in artifact.manifest.targets.items():
        stored = pack_weights(module)[0] if name == CPU else list(module.weights.values())
        done = 0
        for weight, tensor in stream_weights(stored, source, PACKERS):
            wanted = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
            found = artifact.weight(name, weight)
            if not np.array_equal(found, wanted):
                findings.fault(_describe(name, weight, found, wanted))
            count, done = count + 1, done + tensor.nbytes
            progress(f"weights of {name}", done, target.weights.total_bytes)
    num_others = findings.num_faults - before
    detail = f"{count} tensors against {checkpoint}"
    if num_others:
        detail = f"{num_others} of {detail} are others"
    if 2 * num_others > count:
        detail += f": {_REMEDY}"
    findings.close("weights", before, detail)


def _describe(target: str, name: str, found: Bytes, wanted: Bytes) -> str:
    if len(found) != len(wanted):
        return f"weight {name} of {target} has {len(found)} bytes, wanted {len(wanted)}"
    other = np.flatnonzero(found != wanted)
    return (
        f"weight {name} of {target} is not the checkpoint's: {len(other)} of {len(found)} bytes "
        f"differ, the first at {other[0]}"
    )
