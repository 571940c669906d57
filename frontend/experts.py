"""Finds out what a transformers experts module computes between its two matrix products.

The module's own gate function is run on random numbers and compared with the gates we have; the
constants of a clamped gate are searched among the module's own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import UnsupportedModelError

_SAMPLES, _WIDTH = 64, 32

Gate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ExpertsLayout:
    """How gate and up lie in the fused tensor, and the activation with its constants."""

    interleaved: bool
    activation: str
    alpha: float = 0.0
    limit: float = 0.0


def describe_experts(module: Any) -> ExpertsLayout:
    """The layout of ``module``; UnsupportedModelError when none of ours fits."""
    name = type(module).__name__
    if not module.has_gate:
        raise UnsupportedModelError(f"{name}: experts without a gate are not compiled")
    if getattr(module, "has_post_expert_norm", False):
        raise UnsupportedModelError(f"{name}: a norm after each expert is not compiled")
    for interleaved, (gate, layout) in _candidates(module):
        if _same(module, gate, interleaved):
            return layout
    raise UnsupportedModelError(f"{name}: the experts' gate function is not known")


def _candidates(module: Any) -> Iterator[tuple[bool, tuple[Gate, ExpertsLayout]]]:
    plain: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "silu": F.silu,
        "gelu": F.gelu,
        "gelu_tanh": partial(F.gelu, approximate="tanh"),
        "relu": F.relu,
    }
    for interleaved in (not module.is_concatenated, bool(module.is_concatenated)):
        for name, activation in plain.items():
            yield interleaved, (partial(_gated, activation), ExpertsLayout(interleaved, name))
        for alpha, limit in _constants(module):
            layout = ExpertsLayout(interleaved, "swiglu_clamped", alpha, limit)
            yield interleaved, (partial(_clamped, alpha, limit), layout)


def _constants(module: Any) -> Iterator[tuple[float, float]]:
    numbers = {
        float(v) for v in vars(module).values() if isinstance(v, (int, float)) and 0 < v < 100
    }
    for alpha in sorted(numbers):
        for limit in sorted(numbers):
            yield alpha, limit


def _gated(
    activation: Callable[[torch.Tensor], torch.Tensor], gate: torch.Tensor, up: torch.Tensor
) -> torch.Tensor:
    return activation(gate) * up


def _clamped(alpha: float, limit: float, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return (up + 1) * gate * torch.sigmoid(alpha * gate)


def _same(module: Any, gate: Gate, interleaved: bool) -> bool:
    """True when the module's gate function equals ``gate`` on random numbers up to 40."""
    generator = torch.Generator().manual_seed(0)
    x = 10 * torch.randn(_SAMPLES, _WIDTH, generator=generator, dtype=torch.float64)
    with torch.device("cpu"), torch.no_grad():
        found = module._apply_gate(x)
    parts = (x[:, ::2], x[:, 1::2]) if interleaved else x.chunk(2, dim=-1)
    wanted = gate(*parts)
    return bool(found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-9))
