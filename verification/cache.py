"""The pages of a group, as the interpreter takes a cache: keys and values by their places."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..codegen.pages import PageLayout
from .exact import widened

Entry = tuple[torch.Tensor, torch.Tensor]  # a token's key [heads, dim] and value
EntryPlace = tuple[int, int, int]  # layer, page, place in the page


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

    def tokens(self, layer: int, page: int) -> Entry:
        """Of all tokens of a page, as it is now."""
        keys, values = self._layout.tokens(self.layer(layer)[page])
        return keys.clone(), values.clone()

    def over(self, wide: bool = False) -> Overlay:
        """A cache that begins as these pages are, and leaves them alone; in 32 bits if ``wide``."""
        return Overlay(self, wide)


class Overlay:
    """What a reference writes, over the pages; each page is read once, when it is first wanted."""

    def __init__(self, pages: CachePages, wide: bool) -> None:
        self._pages, self._wide = pages, wide
        self._read: dict[tuple[int, int], list[Entry]] = {}
        self.written: dict[EntryPlace, Entry] = {}

    def __setitem__(self, at: EntryPlace, entry: Entry) -> None:
        self.written[at] = entry

    def __getitem__(self, at: EntryPlace) -> Entry:
        if at in self.written:
            return self.written[at]
        layer, page, place = at
        if (layer, page) not in self._read:
            tokens = self._pages.tokens(layer, page)
            keys, values = map(widened, tokens) if self._wide else tokens
            self._read[layer, page] = [*zip(keys.unbind(), values.unbind(), strict=True)]
        return self._read[layer, page][place]
