"""The reference with a checkpoint: transformers itself.

The model stays in the host's memory in the checkpoint's type. Each layer is brought to where it is
computed, in the type asked for, as it runs, and let go of after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from .kernels import Progress
from .logits import Reference


def of_transformers(
    checkpoint: Path, dtype: torch.dtype, on_gpu: bool, prompts: list[list[int]], progress: Progress
) -> Reference:
    """Logits in 32 bits and in ``dtype`` of every token of the prompts, one prompt at a time."""
    progress("transformers", 0, 2)
    disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype="auto", attn_implementation="eager", experts_implementation="eager"
    ).eval()
    device = torch.device("cuda" if on_gpu else "cpu")
    for buffer in model.buffers():
        buffer.data = buffer.data.to(device)
    exact = _logits(model, torch.float32, device, prompts)
    progress("transformers", 1, 2)
    rounded = exact if dtype == torch.float32 else _logits(model, dtype, device, prompts)
    return Reference(exact, rounded)


def _logits(
    model: Any, dtype: torch.dtype, device: torch.device, prompts: list[list[int]]
) -> list[torch.Tensor]:
    hooks = [hook for part in _parts(model) for hook in _streamed(part, dtype, device)]
    with torch.no_grad():
        inputs = [torch.tensor([prompt], device=device) for prompt in prompts]
        logits = [model(token_ids).logits[0].float().cpu() for token_ids in inputs]
    for hook in hooks:
        hook.remove()
    return logits


def _parts(model: Any) -> list[Any]:
    """The layers, and all modules outside of them that have parameters of their own."""
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    layers = [layer for layer in max(lists, key=len)] if lists else []
    inside = {id(module) for layer in layers for module in layer.modules()}
    others = [m for m in model.modules() if id(m) not in inside and [*m.parameters(recurse=False)]]
    return [*layers, *others]


def _streamed(part: Any, dtype: torch.dtype, device: torch.device) -> list[Any]:
    """Hooks that give a part other parameters while it runs."""
    kept: dict[str, torch.Tensor] = {}

    def bring(*_: Any) -> None:
        for name, parameter in part.named_parameters():
            kept[name] = parameter.data
            parameter.data = parameter.data.to(device, dtype)

    def let_go(*_: Any) -> None:
        for name, parameter in part.named_parameters():
            parameter.data = kept.pop(name)

    return [part.register_forward_pre_hook(bring), part.register_forward_hook(let_go)]
