"""The artifact's format: a writer that seals a folder in one step, a reader that checks it all."""

from .reader import Artifact
from .schema import (
    SCHEMA_VERSION,
    Buffer,
    CacheBuffer,
    CacheGroup,
    Expression,
    File,
    Input,
    InputBuffer,
    Kernel,
    Launch,
    Manifest,
    Model,
    Slot,
    SlotBuffer,
    Tape,
    Target,
    Tensor,
    WeightBuffer,
    Weights,
    evaluate,
)
from .weights import TensorSpec, WeightWriter
from .writer import ArtifactWriter

__all__ = [
    "SCHEMA_VERSION",
    "Artifact",
    "ArtifactWriter",
    "Buffer",
    "CacheBuffer",
    "CacheGroup",
    "Expression",
    "File",
    "Input",
    "InputBuffer",
    "Kernel",
    "Launch",
    "Manifest",
    "Model",
    "Slot",
    "SlotBuffer",
    "Tape",
    "Target",
    "Tensor",
    "TensorSpec",
    "WeightBuffer",
    "WeightWriter",
    "Weights",
    "evaluate",
]
