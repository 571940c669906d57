"""The random streams of sampling: Philox4x32-10 keyed by the request, counted by place.

For place i of a stream, for the token at ``position`` of a request with ``seed``: counter =
(i // 4, position low, position high, stream), key = (seed low, seed high), word i % 4; the word x
gives u = (x + 0.5) / 2^32 and the noise -log(-log(u)). Nothing depends on the batch.
Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

from __future__ import annotations

import numpy as np
import torch

OF_PLACES, OF_SPANS = 0, 1
"""The streams: noise of the vocabulary's places, and of its spans."""

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds on counters u64[n, 4] that hold 32-bit words: u64[n, 4]."""
    c0, c1, c2, c3 = (counter[:, j].astype(np.uint64) for j in range(4))
    k0, k1 = (np.uint64(word & 0xFFFFFFFF) for word in key)
    for _ in range(10):
        low = _MULTIPLIERS[0] * c0
        high = _MULTIPLIERS[1] * c2
        c0, c1 = (high >> _SHIFT) ^ c1 ^ k0, high & _MASK
        c2, c3 = (low >> _SHIFT) ^ c3 ^ k1, low & _MASK
        k0, k1 = (k0 + _KEY_STEPS[0]) & _MASK, (k1 + _KEY_STEPS[1]) & _MASK
    return np.stack([c0, c1, c2, c3], 1)


def gumbel(seed: int, position: int, num_places: int, stream: int = OF_PLACES) -> torch.Tensor:
    """Noise f32[num_places] for one token."""
    blocks = (num_places + 3) // 4
    counter = np.zeros((blocks, 4), np.uint64)
    counter[:, 0], counter[:, 3] = np.arange(blocks), stream
    counter[:, 1], counter[:, 2] = position & 0xFFFFFFFF, (position >> 32) & 0xFFFFFFFF
    words = philox(counter, (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)).reshape(-1)
    uniform = (words[:num_places].astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    return torch.from_numpy(-np.log(-np.log(np.minimum(uniform, np.float32(1 - 2.0**-24)))))
