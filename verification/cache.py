"""The pages of a group, as the interpreter takes a cache: keys and values by their places."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..codegen.pages import PageLayout
from ..ir.cache import Entries
from ..ir.ops.attention import PAGE_SIZE_TOKENS
from .exact import widened


class CachePages:
    """A group's pages where kernels have them; ``memory`` gives a layer's, [pages, elements]."""

    def __init__(self, layout: PageLayout, memory: Callable[[int], torch.Tensor]) -> None:
        self._layout, self._memory = layout, memory
        self._layers: dict[int, torch.Tensor] = {}

    def layer(self, layer: int) -> torch.Tensor:
        """The pages of a layer; no copy."""
        if layer not in self._layers:
            self._layers[layer] = self._memory(layer)
        return self._layers[layer]

    def read(self, layer: int, places: torch.Tensor) -> Entries:
        """What tokens have, as it is now."""
        pages, which = (places // PAGE_SIZE_TOKENS).unique(return_inverse=True)
        keys, values = self._layout.tokens(self.layer(layer)[pages])
        at = (which, places % PAGE_SIZE_TOKENS)
        return keys[at].reshape(*values[at].shape[:2], -1), values[at]

    def over(self, wide: bool = False) -> Overlay:
        """A cache that begins as these pages are, and leaves them alone; in 32 bits if ``wide``."""
        return Overlay(self, wide)


class Overlay:
    """A cache of what a reference writes, once in each layer, over the pages."""

    def __init__(self, pages: CachePages, wide: bool) -> None:
        self._pages, self._wide = pages, wide
        self.written: dict[int, tuple[torch.Tensor, Entries]] = {}  # by layer: places, and what

    def write(self, layer: int, places: torch.Tensor, entries: Entries) -> None:
        """See `ir.cache.Cache`."""
        assert layer not in self.written, "a region writes a layer's cache once"
        self.written[layer] = (places, entries)

    def read(self, layer: int, places: torch.Tensor) -> Entries:
        """See `ir.cache.Cache`."""
        found = self._pages.read(layer, places)
        keys, values = map(widened, found) if self._wide else found
        if layer in self.written:
            new, (new_keys, new_values) = self.written[layer]
            here, which = (places[:, None] == new).nonzero(as_tuple=True)
            keys[here], values[here] = new_keys[which], new_values[which]
        return keys, values
