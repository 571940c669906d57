"""Seams at which transformers hands over a whole op: attention, masks, experts.

Each is registered under the name `IMPLEMENTATION` in transformers' own interfaces and records one
custom op in the exported graph. The ops have no kernel: a model that was built with them can only
be traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from ..errors import UnsupportedModelError
from .experts import ExpertsLayout
from .masks import recognize_mask

IMPLEMENTATION = "tapeout"
"""The name to pass as attention and experts implementation."""

_BOOKKEEPING = frozenset(
    (
        *("dropout", "position_ids", "cache_position", "use_cache", "return_dict", "labels"),
        *("output_attentions", "output_hidden_states", "output_router_logits"),
        *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"),
        *("is_causal", "num_items_in_batch", "logits_to_keep"),
    )
)
"""Keyword arguments of an attention call that do not change what it computes."""

NO_WINDOW = 0
"""How the captured ops write "no sliding window"; a schema has no optional mask attribute."""

_LIBRARY = torch.library.Library("tapeout", "DEF")
_LIBRARY.define("mask(Tensor like, SymInt queries, SymInt keys, int window, str problem) -> Tensor")
_LIBRARY.define(
    "attention(Tensor q, Tensor k, Tensor v, Tensor mask, Tensor? sinks, float scale, "
    "int window, float? softcap) -> Tensor"
)
_LIBRARY.define(
    "experts(Tensor x, Tensor indices, Tensor weights, Tensor gate_up, Tensor down, "
    "Tensor? gate_up_bias, Tensor? down_bias, bool transposed, bool interleaved, "
    "str activation, float alpha, float limit) -> Tensor"
)


@torch.library.register_fake("tapeout::mask", lib=_LIBRARY)
def _mask_shape(like: torch.Tensor, queries: int, keys: int, *_: object) -> torch.Tensor:
    return like.new_empty((1, 1, queries, keys), dtype=torch.bool)


@torch.library.register_fake("tapeout::attention", lib=_LIBRARY)
def _attention_shape(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: object) -> torch.Tensor:
    return q.new_empty((q.shape[0], q.shape[2], q.shape[1], v.shape[3]))


@torch.library.register_fake("tapeout::experts", lib=_LIBRARY)
def _experts_shape(x: torch.Tensor, *_: object) -> torch.Tensor:
    return torch.empty_like(x)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Record one attention: query [1, H, T, D], key and value [1, Hk, T, D] to [1, T, H, Dv]."""
    name = type(module).__name__
    unknown = sorted(k for k, v in kwargs.items() if v is not None and k not in _BOOKKEEPING)
    if unknown:
        raise UnsupportedModelError(f"{name}: attention with {', '.join(unknown)} is not compiled")
    if attention_mask is None or kwargs.get("is_causal") is False:
        raise UnsupportedModelError(f"{name}: attention is not causal")
    if attention_mask.dtype != torch.bool:
        raise UnsupportedModelError(f"{name}: the attention mask is not one of transformers' own")
    scale = float(query.shape[-1]) ** -0.5 if scaling is None else float(scaling)
    result = torch.ops.tapeout.attention(
        query, key, value, attention_mask, s_aux, scale, sliding_window or NO_WINDOW, softcap
    )
    return result, None


def mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: object = 0,
    kv_offset: object = 0,
    mask_function: Callable[..., object] | None = None,
    attention_mask: torch.Tensor | None = None,
    device: torch.device | None = None,
    **_: Any,
) -> torch.Tensor:
    """Record a description of the mask in place of its values: bool [1, 1, T, T].

    A mask that cannot be compiled is refused when an attention uses it: some are never used.
    """
    window, problem = NO_WINDOW, ""
    try:
        window = _recognize(mask_function, attention_mask, q_offset, kv_offset)
    except UnsupportedModelError as error:
        problem = error.reason
    like = torch.empty((), dtype=torch.bool, device=device)
    result: torch.Tensor = torch.ops.tapeout.mask(like, q_length, kv_length, window, problem)
    return result


def _recognize(
    mask_function: Callable[..., object] | None,
    attention_mask: torch.Tensor | None,
    q_offset: object,
    kv_offset: object,
) -> int:
    if mask_function is None or attention_mask is not None:
        raise UnsupportedModelError("attention mask: a padding mask is not compiled")
    return recognize_mask(mask_function, q_offset, kv_offset).window or NO_WINDOW


def experts(
    module: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Record one op for all experts: hidden_states [T, H], indices and weights [T, k] to [T, H]."""
    layout: ExpertsLayout = module.experts_layout
    result: torch.Tensor = torch.ops.tapeout.experts(
        hidden_states,
        top_k_index,
        top_k_weights,
        module.gate_up_proj,
        module.down_proj,
        module.gate_up_proj_bias if module.has_bias else None,
        module.down_proj_bias if module.has_bias else None,
        bool(module.is_transposed),
        layout.interleaved,
        layout.activation,
        layout.alpha,
        layout.limit,
    )
    return result


def install() -> None:
    """Register the capture in transformers' interfaces; calling it again changes nothing."""
    AttentionInterface.register(IMPLEMENTATION, attention)
    AttentionMaskInterface.register(IMPLEMENTATION, mask)
    ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, experts)
