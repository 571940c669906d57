"""The pages of a group, as the interpreter takes a cache: keys and values by their places."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..codegen.pages import PageLayout

Entry = tuple[torch.Tensor, torch.Tensor]
EntryPlace = tuple[int, int, int]  # layer, page, place in the page


class CachePages:
    """A group's pages where kernels have them; ``memory`` gives a layer's, [pages, elements]."""

    def __init__(self, layout: PageLayout, memory: Callable[[int], torch.Tensor]) -> None:
        self._layout, self._memory = layout, memory
        self._layers: dict[int, torch.Tensor] = {}

    def layer(self, layer: int) -> torch.Tensor:
        """The pages of a layer."""
        if layer not in self._layers:
            self._layers[layer] = self._memory(layer)
        return self._layers[layer]

    def __getitem__(self, at: EntryPlace) -> Entry:
        layer, page, place = at
        return self._layout.entry(self.layer(layer)[page], place)

    def over(self, wide: bool) -> Overlay:
        """A cache that begins as these pages and leaves them alone."""
        return Overlay(self, wide)


class Overlay:
    """What a reference writes, over the pages that it reads; in 32 bits if ``wide``."""

    def __init__(self, pages: CachePages, wide: bool) -> None:
        self._pages, self._wide = pages, wide
        self.written: dict[EntryPlace, Entry] = {}

    def __setitem__(self, at: EntryPlace, entry: Entry) -> None:
        self.written[at] = entry

    def __getitem__(self, at: EntryPlace) -> Entry:
        if at in self.written:
            return self.written[at]
        key, value = self._pages[at]
        return (key.float(), value.float()) if self._wide else (key, value)
