"""Attention over a packed step, and over pages."""

from __future__ import annotations

from collections.abc import Sequence
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
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """One query q[H, D] over keys k[n, Hk, D], v[n, Hk, Dv]; ``distance`` is how far back each is.

    A key is seen at 0 <= distance < window. A sink adds exp(sink) to a head's sum, and no value.
    """
    group = q.shape[0] // k.shape[1]
    keys, values = (x.float().repeat_interleave(group, 1) for x in (k, v))
    scores = torch.einsum("hd,nhd->hn", q.float(), keys) * attrs["scale"]
    if attrs["softcap"] is not None:
        scores = torch.tanh(scores / attrs["softcap"]) * attrs["softcap"]
    seen = distance >= 0
    if attrs["window"] is not None:
        seen &= distance < attrs["window"]
    scores = scores.masked_fill(~seen, float("-inf"))
    if sinks is not None:
        scores = torch.cat([scores, sinks.float()[:, None]], 1)
    weights = torch.softmax(scores, -1)[:, : k.shape[0]]
    return torch.einsum("hn,nhd->hd", weights, values)


def _attention(operands: Sequence[Any], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    q, k, v, positions, sequences, *sinks = operands
    rows = []
    for token in range(q.shape[0]):
        same = (sequences == sequences[token]).nonzero()[:, 0]
        distance = positions[token] - positions[same]
        rows.append(attend(q[token], k[same], v[same], distance, attrs, *(sinks or [None])))
    return (torch.stack(rows).to(q.dtype),)


def _attention_flops(types: Sequence[TensorType], results: Sequence[TensorType], _: Attrs) -> float:
    return 2.0 * (elements(types[0]) + elements(results[0]))  # for each key that a query sees


def _infer_kv_write(types: Sequence[TensorType], _: Attrs) -> Types:
    return (types[0],)


def _kv_write(operands: Sequence[Any], attrs: Attrs) -> tuple[Any, ...]:
    cache, k, v, positions, sequences, table = operands
    pages, owners = table.tolist(), sequences.tolist()
    for token, (position, owner) in enumerate(zip(positions.tolist(), owners, strict=True)):
        place = _place(position, pages[owner])
        cache[(attrs["layer"], *place)] = (k[token].clone(), v[token].clone())
    return (cache,)


def _place(position: int, pages: Sequence[int]) -> tuple[int, int]:
    return pages[position // PAGE_SIZE_TOKENS], position % PAGE_SIZE_TOKENS


def _infer_paged(types: Sequence[TensorType], attrs: Attrs) -> Types:
    return (types[0].with_shape(*types[0].shape[:2], attrs["value_dim"]),)


def _paged_attention(operands: Sequence[Any], attrs: Attrs) -> tuple[torch.Tensor, ...]:
    q, cache, positions, sequences, table, *sinks = operands
    lengths, owners = (positions + 1).tolist(), sequences.tolist()
    longest: dict[int, int] = {}
    for owner, length in zip(owners, lengths, strict=True):
        longest[owner] = max(length, longest.get(owner, 0))
    seen = {o: _cached(cache, attrs["layer"], table[o].tolist(), n) for o, n in longest.items()}
    rows = []
    for token, (owner, length) in enumerate(zip(owners, lengths, strict=True)):
        k, v = (part[:length] for part in seen[owner])
        distance = torch.arange(length - 1, -1, -1, device=q.device)
        rows.append(attend(q[token], k, v, distance, attrs, *(sinks or [None])))
    return (torch.stack(rows).to(q.dtype),)


def _cached(cache: Any, layer: int, pages: Sequence[int], length: int) -> list[torch.Tensor]:
    """Keys and values [length, ..] of a sequence whose pages these are."""
    entries = [cache[(layer, *_place(position, pages))] for position in range(length)]
    return [torch.stack(parts) for parts in zip(*entries, strict=True)]


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
