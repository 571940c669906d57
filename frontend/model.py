"""Builds a transformers model on the meta device, ready to be traced, and reads its constants."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from ..errors import UnsupportedModelError
from .capture import IMPLEMENTATION, install
from .experts import describe_experts

_REFUSED_ROPE = ("dynamic", "longrope")

_CHECK_CONFIG = "see that config.json is right, or use a model of another architecture"


def build_model(config: PretrainedConfig, dtype: torch.dtype) -> Any:
    """The model of ``config`` without weights, its attention and experts captured as ops.

    Raises UnsupportedModelError when transformers has no causal language model for it, or when it
    needs Python at each step.
    """
    install()
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AutoModelForCausalLM.from_config(
                copy.deepcopy(config),
                attn_implementation=IMPLEMENTATION,
                experts_implementation=IMPLEMENTATION,
                dtype=dtype,
            )
    except Exception as error:  # whatever a model's Python raises while it is made
        said = [config.model_type, place_in_model(error), _refusal(error)]
        raise UnsupportedModelError(": ".join(filter(None, said)), _CHECK_CONFIG) from error
    model.eval()
    _check(model)
    _keep_wide(model, dtype)
    for module in model.modules():
        if hasattr(module, "is_concatenated") and hasattr(module, "has_gate"):
            module.experts_layout = describe_experts(module)
    return model


def _keep_wide(model: Any, dtype: torch.dtype) -> None:
    """Parameters in fp32 where transformers loads them so."""
    kept = set(model._keep_in_fp32_modules_strict or ()) if dtype is not torch.float32 else set()
    kept |= set(model._keep_in_fp32_modules or ()) if dtype is torch.float16 else set()
    for name, parameter in model.named_parameters():
        if any(pattern in name for pattern in kept):
            parameter.data = parameter.data.to(torch.float32)


def _refusal(error: Exception) -> str:
    if not isinstance(error, KeyError):
        return first_line(error)
    known = error.args != (IMPLEMENTATION,)  # else a dictionary of its own attention classes
    return f"unknown {error}" if known else "its attention is not on transformers' interface"


def place_in_model(error: BaseException) -> str:
    """The innermost frame of a model's code, as Class.method; nothing where there is none."""
    place, frame = "", error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if "transformers/models/" in code.co_filename.replace("\\", "/"):
            owner = frame.tb_frame.f_locals.get("self")
            place = f"{type(owner).__name__}.{code.co_name}" if owner is not None else code.co_name
        frame = frame.tb_next
    return place


def first_line(error: BaseException) -> str:
    """An error's message, as one line."""
    return next((line for line in str(error).splitlines() if line.strip()), repr(error))


def _check(model: Any) -> None:
    if getattr(model, "_is_stateful", False):
        raise UnsupportedModelError(
            f"{type(model).__name__} keeps a recurrent state, and only attention is compiled"
        )
    for name, module in model.named_modules():
        kinds = getattr(module, "rope_type", None)
        found = set(kinds.values()) if isinstance(kinds, dict) else {kinds}
        for kind in found & set(_REFUSED_ROPE):
            raise UnsupportedModelError(
                f"{name}: rope type {kind} changes with the length of the request",
                "give rope_parameters in config.json a rope_type that does not, such as default",
            )


def constants(model: Any) -> dict[str, torch.Tensor]:
    """Values of the buffers that no checkpoint holds (rotary frequencies, scales), by name.

    They are computed on the CPU by the model's own initialisation, module by module.
    """
    values: dict[str, torch.Tensor] = {}
    for path, module in model.named_modules():
        for name in sorted(module._non_persistent_buffers_set):
            if getattr(module, name, None) is not None:
                values[f"{path}.{name}".lstrip(".")] = _buffer(model, path, module, name)
    return values


def _buffer(model: Any, path: str, module: torch.nn.Module, name: str) -> torch.Tensor:
    """Initialise twice over different memory: what differs was not set by the model."""
    first, second = (_initialised(model, module, name, fill) for fill in (1, 2))
    if not torch.equal(first, second):
        raise UnsupportedModelError(f"{path}.{name}: the model does not compute this buffer")
    return first


def _initialised(model: Any, module: torch.nn.Module, name: str, fill: int) -> torch.Tensor:
    own = copy.copy(module)
    own._buffers = {
        key: None if buffer is None else torch.full_like(buffer, fill, device="cpu")
        for key, buffer in module._buffers.items()
    }
    with torch.no_grad():
        model._init_weights(own)
    result = own._buffers[name]
    assert result is not None
    return result.clone()
