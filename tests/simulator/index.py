"""What the prefix index promises: pages that completed steps have filled, with sound values."""

import numpy as np

from tapeout.kvcache.cache import PagedCache

from .device import POISON, Device
from .frames import FrameChecks
from .violation import check, every


def check_index(cache: PagedCache, frames: FrameChecks, device: Device) -> None:
    """Every page that the index offers is full, by steps that have reported, and finite."""
    for group, pages in enumerate(frames.groups):
        index = cache.groups[group].pool.index
        named = [page for page in range(len(pages.owner)) if page in index]
        is_full = pages.num_written[named] == cache.page_size_tokens
        is_done = pages.written_in[named] <= frames.reported
        check(every(is_full & is_done), "pages in the index that are not done:", named)
        if device.spoiled:
            for layer in np.flatnonzero(np.array(device.groups) == group).tolist():
                is_sound = device.pages[layer][named] != np.uint64(POISON)
                check(every(is_sound), "pages in the index that are not sound:", named)
