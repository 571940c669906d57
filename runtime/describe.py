"""A model's targets as they are, or would be once it is compiled: what a plan is made of."""

from collections.abc import Sequence
from pathlib import Path

from ..artifact import Artifact, Described, Model
from ..errors import InputError
from .compiler import load_compiler
from .executor import TARGET as CPU
from .load import check_is_model, check_properties, is_artifact

Descriptions = tuple[Model, dict[str, Described]]
"""The model's facts, and its targets by name."""


def describe_model(
    model: Path,
    targets: Sequence[str] = (),
    *,
    dtype: object = "auto",
    quantization: str | None = None,
    tensor_parallel_size: int = 1,
    batch_invariant: bool = False,
) -> Descriptions:
    """Targets of an artifact, by default all, or of a checkpoint, by default the CPU.

    Nothing is built, and no weight read. Raises InputError for what the artifact does not have, or
    compiling would refuse.
    """
    check_is_model(model)
    if not is_artifact(model):
        described: Descriptions = load_compiler().plan_checkpoint(
            model,
            targets or (CPU,),
            dtype=dtype,
            quantization=quantization,
            tensor_parallel_size=tensor_parallel_size,
            batch_invariant=batch_invariant,
        )
        return described
    artifact = Artifact.open(model, verify_weights=False)
    check_properties(artifact, dtype, quantization, tensor_parallel_size)
    found = artifact.manifest.targets
    for name in targets:
        if name not in found:
            raise InputError(f"target={name!r} is not in {model}; it has {', '.join(found)}")
    chosen = {name: artifact.described(name) for name in targets or found}
    if batch_invariant and not all(one.target.batch_invariant for one in chosen.values()):
        raise InputError(f"{model} is not batch-invariant; compile it anew, with the option")
    return artifact.manifest.model, chosen
