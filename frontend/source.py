"""Opens what weights come from, and chooses the dtype a model is compiled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..ir.types import DType
from .checkpoint import Checkpoint, TensorSource, read_config
from .dummy_checkpoint import DummyCheckpoint
from .model import build_model
from .trace import model_config

LOAD_FORMATS = ("auto", "dummy")

_DTYPES = {
    "float32": DType.F32,
    "float": DType.F32,
    "f32": DType.F32,
    "bfloat16": DType.BF16,
    "bf16": DType.BF16,
}
_ALLOWED = "auto, float32 or bfloat16"


def open_source(path: Path, load_format: str = "auto", seed: int = 0) -> TensorSource:
    """The checkpoint in ``path``; for ``dummy`` random weights for the config.json there.

    Raises InputError for another format, CheckpointError for a damaged checkpoint.
    """
    if load_format not in LOAD_FORMATS:
        raise InputError(
            f"load_format={load_format!r} is not known; use {' or '.join(LOAD_FORMATS)}"
        )
    if load_format == "auto":
        return Checkpoint.open(path)
    config = read_config(path)
    model = build_model(model_config(config), torch.bfloat16)
    stored = set(model.state_dict())
    own = [*model.named_parameters(), *model.named_buffers()]  # a tied weight under one name
    shapes = {name: (t.dtype, tuple(t.shape)) for name, t in own if name in stored}
    return DummyCheckpoint(config, shapes, seed)


def choose_dtype(wanted: object, config: dict[str, Any]) -> DType:
    """The dtype to compile in: ``wanted`` by its torch name, or what the checkpoint says.

    For ``auto``, checkpoints in float16 are compiled in bfloat16, which has the same size and a
    wider range; CPUs have no float16 products. Raises InputError for any other dtype.
    """
    name = str(wanted).removeprefix("torch.")
    if name == "auto":
        stated = config.get("dtype", config.get("torch_dtype"))
        name = str(stated or "float32").removeprefix("torch.")
        name = "bfloat16" if name in ("float16", "half") else name
    if name not in _DTYPES:
        raise InputError(f"dtype={wanted!r} ({name}) cannot be compiled; use {_ALLOWED}")
    return _DTYPES[name]
