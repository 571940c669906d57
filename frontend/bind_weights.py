"""Gives each tensor that an exported model reads a weight: from the checkpoint, or a constant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch

from ..errors import CheckpointError, UnsupportedModelError
from ..ir.ops.dtypes import from_torch
from ..ir.types import Dim, TensorType
from ..ir.weights import Step, Weight
from .model import constants
from .names import weight_programs

_REMEDY = "give the config.json that the weights were saved with, and all of them"


def bind_weights(
    model: Any, exported: Any, used: Iterable[str], names: Collection[str] | None
) -> dict[str, Weight]:
    """A weight for each tensor in ``used``; ``names`` are the checkpoint's, see `weight_programs`.

    A tied parameter takes the program of whichever of its names the checkpoint has. Raises
    CheckpointError when it has none, UnsupportedModelError for a tensor outside of the model.
    """
    programs = weight_programs(model, names)
    own = dict(_named_tensors(model))
    stored = {id(own[name]): program for name, program in reversed(programs.items())}
    values = _constants(model, exported)
    weights = {}
    for name in used:
        if name in values:
            weights[name] = _constant(name, values[name])
        elif name not in own:
            raise UnsupportedModelError(f"{name}: a tensor that is no weight and no buffer")
        elif id(own[name]) not in stored:
            wanted = "a tensor of that name, as config.json says"
            raise CheckpointError("checkpoint", name, "no such tensor", wanted, _REMEDY)
        else:
            weights[name] = Weight(name, _type(own[name]), stored[id(own[name])])
    return weights


def check_shapes(
    weights: Iterable[Weight], shapes: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
) -> None:
    """Raises CheckpointError where a tensor that is a weight as it is has another shape there."""
    for weight in weights:
        wanted = tuple(map(int, weight.type.shape))
        for _, program in weight.members():
            if program.op == "checkpoint" and (name := str(program.arguments[0])) in shapes:
                found = shapes[name][1]
                if found != wanted:
                    said = f"{list(wanted)}, as config.json says"
                    raise CheckpointError(name, "shape", list(found), said, _REMEDY)


def is_stored_untied(model: Any, names: Collection[str] | None) -> bool:
    """True when the checkpoint holds several tensors for one tied parameter.

    transformers unties such parameters unless the tensors are equal, which is not looked at here.
    """
    if names is None:
        return False
    own = dict(_named_tensors(model))
    stored = [id(own[name]) for name in weight_programs(model, names)]
    return len(set(stored)) < len(stored)


def _named_tensors(model: Any) -> list[tuple[str, torch.Tensor]]:
    """Parameters and buffers by every name they have: tied ones occur several times."""
    parameters = list(model.named_parameters(remove_duplicate=False))
    return parameters + list(model.named_buffers(remove_duplicate=False))


def _constants(model: Any, exported: Any) -> Mapping[str, torch.Tensor]:
    """The model's computed buffers, and the tensors that its Python made while it was traced."""
    lifted = {
        name.removeprefix("model."): value
        for name, value in exported.constants.items()
        if isinstance(value, torch.Tensor) and not value.is_meta
    }
    return lifted | constants(model)


def _type(tensor: torch.Tensor) -> TensorType:
    return TensorType(tuple(map(Dim, tensor.shape)), from_torch(tensor.dtype))


def _constant(name: str, value: torch.Tensor) -> Weight:
    """A weight whose program holds its values, as little-endian bytes in hexadecimal."""
    type = _type(value)
    data = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex()
    return Weight(name, type, Step("constant", (), (type.dtype, tuple(value.shape), data)))
