"""What a cache is to the records: keys and values of tokens, of every layer of its group."""

from __future__ import annotations

from typing import Protocol

import torch

Entries = tuple[torch.Tensor, torch.Tensor]  # keys [n, Hk, D] and values [n, Hk, Dv]


class Cache(Protocol):
    """A token has a place: its page * 16 + its place in the page. Places are i64[n]."""

    def write(self, layer: int, places: torch.Tensor, entries: Entries) -> None:
        """Stores what tokens have."""

    def read(self, layer: int, places: torch.Tensor) -> Entries:
        """What was stored for tokens, of which there is one at least."""


class TokenCache:
    """A cache of whatever size: it has what was written, token by token."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], Entries] = {}

    def write(self, layer: int, places: torch.Tensor, entries: Entries) -> None:
        """See `Cache`."""
        for place, k, v in zip(places.tolist(), *entries, strict=True):
            self._entries[layer, place] = (k.clone(), v.clone())

    def read(self, layer: int, places: torch.Tensor) -> Entries:
        """See `Cache`."""
        k, v = zip(*(self._entries[layer, place] for place in places.tolist()), strict=True)
        return torch.stack(k), torch.stack(v)
