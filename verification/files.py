"""What an artifact has of its checkpoint beside weights: files, and tokens that begin and end."""

from __future__ import annotations

from pathlib import Path

from ..artifact import Artifact
from ..frontend.source import open_source
from ..frontend.special_tokens import special_tokens
from .findings import Findings


def check_files(artifact: Artifact, checkpoint: Path, findings: Findings) -> None:
    """Byte for byte, each file that both have. Raises CheckpointError for what is no checkpoint."""
    before, model = findings.num_faults, artifact.manifest.model
    names = [name for name in artifact.manifest.files if (checkpoint / name).is_file()]
    for name in names:
        if artifact.read(name) != (checkpoint / name).read_bytes():
            findings.fault(f"file {name} is not the checkpoint's")
    config = open_source(checkpoint).config
    wanted = special_tokens(checkpoint, config, model.vocab_size)
    fields = ("eos_token_ids", "bos_token_id")
    for field, value in zip(fields, wanted, strict=True):
        found = getattr(model, field)
        if found != value:
            findings.fault(f"the manifest's {field} is {found}, the checkpoint's {value}")
    detail = f"{len(names)} files and the tokens that begin and end, against {checkpoint}"
    findings.close("files", before, detail)
