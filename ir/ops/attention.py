"""Attention over a packed step, and over pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..types import TensorType
from .base import REQUIRED, Attrs, Kind, OpRecord, elements, register

Types = tuple[TensorType, ...]

PAGE_SIZE_TOKENS = 16
"""Tokens of one KV page: also the block of keys that attention sums at a time."""


def _infer_attention(types: Sequence[TensorType], _: Attrs) -> Types:
    q, k, v = types[:3]
    assert k.shape[:2] == v.shape[:2] and q.shape[2] == k.shape[2], f"attention {q} {k} {v}"
    assert int(q.shape[1]) % int(k.shape[1]) == 0, f"{q.shape[1]} heads over {k.shape[1]}"
    return (q.with_shape(q.shape[0], q.shape[1], v.shape[2]),)


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    distance: torch.Tensor,
    attrs: Attrs,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Queries q[t, H, D] over keys k[n, Hk, D], v[n, Hk, Dv]: [t, H, Dv]; ``distance`` [t, n] is
    how far back each key is.

    A key is seen at 0 <= distance < window. A sink adds exp(sink) to a head's sum, and no value.
    """
    groups = (k.shape[1], q.shape[1] // k.shape[1])  # a key head, and the heads that read it
    scores = torch.einsum("tgrd,ngd->tgrn", q.float().unflatten(1, groups), k.float())
    scores = scores * attrs["scale"]
    if attrs["softcap"] is not None:
        scores = torch.tanh(scores / attrs["softcap"]) * attrs["softcap"]
    seen = distance >= 0
    if attrs["window"] is not None:
        seen &= distance < attrs["window"]
    scores = scores.masked_fill(~seen[:, None, None], float("-inf"))
    if sinks is not None:
        none = sinks.float().unflatten(0, groups).expand(len(q), *groups)
        scores = torch.cat([scores, none[..., None]], -1)
    weights = torch.softmax(scores, -1)[..., : k.shape[0]]
    return torch.einsum("tgrn,ngd->tgrd", weights, v.float()).flatten(1, 2)


def _attention(operands: Sequence[Any], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    q, k, v, positions, sequences, *sinks = operands
    result = torch.empty(*q.shape[:2], v.shape[2], device=q.device)
    for same in _tokens_of_each(sequences):
        distance = positions[same][:, None] - positions[same]
        result[same] = attend(q[same], k[same], v[same], distance, attrs, *sinks)
    return (result.to(q.dtype),)


def _tokens_of_each(sequences: torch.Tensor) -> Iterator[torch.Tensor]:
    """For each sequence, where its tokens are in the step."""
    return ((sequences == one).nonzero()[:, 0] for one in sequences.unique())


def _attention_flops(types: Sequence[TensorType], results: Sequence[TensorType], _: Attrs) -> float:
    return 2.0 * (elements(types[0]) + elements(results[0]))  # for each key that a query sees


def _infer_kv_write(types: Sequence[TensorType], _: Attrs) -> Types:
    return (types[0],)


def _kv_write(operands: Sequence[Any], attrs: Attrs) -> tuple[Any, ...]:
    cache, k, v, positions, sequences, table = operands
    cache.write(attrs["layer"], _places(table, sequences, positions), (k, v))
    return (cache,)


def _places(table: torch.Tensor, sequence: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Where caches have tokens of a sequence, or of one sequence each."""
    pages = table[sequence.long(), positions.long() // PAGE_SIZE_TOKENS]
    return pages.long() * PAGE_SIZE_TOKENS + positions % PAGE_SIZE_TOKENS


def _infer_paged(types: Sequence[TensorType], attrs: Attrs) -> Types:
    return (types[0].with_shape(*types[0].shape[:2], attrs["value_dim"]),)


def _paged_attention(operands: Sequence[Any], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    q, cache, positions, sequences, table, *sinks = operands
    result = torch.empty(*q.shape[:2], attrs["value_dim"], device=q.device)
    for same in _tokens_of_each(sequences):
        own = positions[same]
        before = torch.arange(int(own.max()) + 1, device=q.device)
        k, v = cache.read(attrs["layer"], _places(table, sequences[same[0]], before))
        result[same] = attend(q[same], k, v, own[:, None] - before, attrs, *sinks)
    return (result.to(q.dtype),)


_MASK = {"scale": REQUIRED, "window": None, "softcap": None}
_PLACE = {"group": REQUIRED, "layer": REQUIRED}
_DOC = (
    "softmax(softcap(q k^T * scale)) v for q[T, H, D]; head h reads key head h // (H / Hk); a token"
    " sees keys of its own sequence at 0 <= its position - theirs < window; sinks[H] add exp(sink)"
    " to the sum"
)

register(
    OpRecord(
        "attention",
        _DOC + "; k[T, Hk, D], v[T, Hk, Dv] are the step's own: [T, H, Dv]",
        Kind.ANCHOR,
        ("q", "k", "v", "positions", "sequence_ids", "sinks?"),
        _infer_attention,
        _attention,
        _attention_flops,
        _MASK,
        levels=("traced", "model"),
    )
)
register(
    OpRecord(
        "kv_write",
        "store k[T, Hk, D] and v[T, Hk, Dv] of each token in the page of its position: page"
        " block_table[sequence, position // 16], place position % 16, of one layer of a group",
        Kind.ANCHOR,
        ("cache", "k", "v", "positions", "sequence_ids", "block_table"),
        _infer_kv_write,
        _kv_write,
        lambda _, __, ___: 0.0,
        _PLACE,
        levels=("paged", "region"),
        writes=("cache",),
    )
)
register(
    OpRecord(
        "paged_attention",
        _DOC + "; keys and values come from the pages of the token's sequence",
        Kind.ANCHOR,
        ("q", "cache", "positions", "sequence_ids", "block_table", "sinks?"),
        _infer_paged,
        _paged_attention,
        _attention_flops,
        _MASK | _PLACE | {"num_key_heads": REQUIRED, "value_dim": REQUIRED},
        levels=("paged", "region"),
    )
)
