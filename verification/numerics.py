"""What needs the compiler: kernels against their records, and logits against the reference."""

from __future__ import annotations

from pathlib import Path

from ..artifact import Artifact
from ..ir.ops.dtypes import to_torch
from ..ir.types import DType
from ..runtime.load import LoadedModel
from .certificate import Thresholds
from .errors import MAX_OTHER_ROWS, MAX_RATIO, UNITS
from .findings import Findings
from .kernels import Progress, check_kernels
from .logits import (
    MAX_KL_RATIO,
    MAX_TOP1_LOSS,
    NUM_PROMPT_SETS,
    Reference,
    check_logits,
    prompts_for,
)
from .reference import interpreted
from .sequences import PackedSteps
from .subject import Subject
from .transformers_reference import of_transformers


def check_numerics(
    artifact: Artifact,
    loaded: LoadedModel,
    checkpoint: Path | None,
    findings: Findings,
    progress: Progress,
) -> None:
    """Kernels by every tape, then logits."""
    subject = Subject(artifact, loaded)
    findings.thresholds = Thresholds(
        max_ratio=MAX_RATIO,
        units={str(dtype).removeprefix("torch."): unit for dtype, unit in UNITS.items()},
        max_other_rows=MAX_OTHER_ROWS,
        max_kl_ratio=MAX_KL_RATIO,
        max_top1_loss=MAX_TOP1_LOSS,
    )
    check_kernels(subject, findings, progress)
    sets = (
        prompts_for(subject.vocab_size, loaded.plan.max_model_len, seed)
        for seed in range(NUM_PROMPT_SETS)
    )
    tries = (
        (prompts, _reference(artifact, subject, loaded, checkpoint, prompts, progress))
        for prompts in sets
    )
    check_logits(loaded, tries, findings)


def _reference(
    artifact: Artifact,
    subject: Subject,
    loaded: LoadedModel,
    checkpoint: Path | None,
    prompts: list[list[int]],
    progress: Progress,
) -> Reference:
    if checkpoint is None:
        return interpreted(subject, PackedSteps(loaded), prompts, progress)
    dtype = to_torch(DType(artifact.manifest.model.dtype))
    return of_transformers(checkpoint, dtype, subject.on_gpu, prompts, progress)
