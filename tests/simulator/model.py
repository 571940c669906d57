"""The simulated model, and what it says to a request that is alone in the world.

Its hidden state is a number of 64 bits. A layer puts the state of each token into the cache page of
its place and mixes in all that is visible there, so that the token chosen last depends on every
entry of every page: on its token, its position, its salt and, through the layers before, on all
that was visible to it. One cache group is two layers of the model, of several each is one.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

VOCAB = 1000
MASK_WORDS = -(-VOCAB // 32)
_BITS = (1 << 64) - 1
_TOKEN, _POSITION, _SALT = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_MIX = 0xD6E8FEB86659FD93
_MAX_LEN = 4096


def mix(values: U64) -> U64:
    """Scrambles each number."""
    values = (values ^ (values >> np.uint64(32))) * np.uint64(_MIX)
    return values ^ (values >> np.uint64(29))


def mix_one(value: int) -> int:
    """The same of one number."""
    value &= _BITS
    value = ((value ^ (value >> 32)) * _MIX) & _BITS
    return value ^ (value >> 29)


def _weight(position: int) -> int:
    return mix_one(position * _TOKEN + 1) | 1


# What an entry at each position counts for, so that two entries never change places unseen.
WEIGHTS: U64 = np.array([_weight(position) for position in range(_MAX_LEN)], np.uint64)
_WEIGHTS = [int(weight) for weight in WEIGHTS]


def embed(token_ids: NDArray[np.int64], positions: NDArray[np.int64], salts: U64) -> U64:
    """The state that each token begins with."""
    state = (token_ids.astype(np.uint64) + np.uint64(1)) * np.uint64(_TOKEN)
    state = state + positions.astype(np.uint64) * np.uint64(_POSITION)
    return mix(state + salts * np.uint64(_SALT))


def noise(seed: int, position: int) -> int:
    """What sampling adds; it depends on the seed and the position alone."""
    return mix_one(seed * _SALT + position * _TOKEN + 7)


def penalty(token_ids: Sequence[int], num_prompt_tokens: int) -> int:
    """What the tokens so far add to the choice where penalties are wanted."""
    total = sum((token + 1) * _WEIGHTS[place] for place, token in enumerate(token_ids))
    return mix_one(total + num_prompt_tokens * _POSITION)


def choose(state: int, mask: Sequence[int] | None) -> int:
    """The token of a final state: the next that is allowed."""
    token = state % VOCAB
    while mask is not None and not (mask[token // 32] >> (token % 32)) & 1:
        token = (token + 1) % VOCAB
    return token


@lru_cache(maxsize=1024)
def mask_of(identity: int, num_tokens: int) -> tuple[int, ...]:
    """The mask for what follows `num_tokens` of output: about half of the tokens."""
    words = (mix_one(identity * _SALT + num_tokens * _TOKEN + w) for w in range(MASK_WORDS))
    return tuple(word & 0xFFFFFFFF | (w == 0) for w, word in enumerate(words))


def stream(key: int, length: int) -> tuple[int, ...]:
    """Tokens to make prompts of."""
    return tuple(mix_one((key + 1) * _SALT + place) % VOCAB for place in range(length))


class Voice:
    """A sequence as the model continues it, token by token, with nobody else there."""

    def __init__(self, layer_windows: Sequence[int | None], salt: int) -> None:
        self.windows, self.salt = layer_windows, salt
        self.entries: list[list[int]] = [[] for _ in layer_windows]
        self.sums = [0] * len(layer_windows)
        self.length = 0

    def feed(self, token: int) -> int:
        """The final state after one more token."""
        place = self.length
        state = mix_one((token + 1) * _TOKEN + place * _POSITION + self.salt * _SALT)
        for layer, window in enumerate(self.windows):
            entries = self.entries[layer]
            entries.append(state * _WEIGHTS[place])
            gone = entries[place - window] if window is not None and place >= window else 0
            self.sums[layer] += entries[place] - gone
            state = mix_one(state + self.sums[layer])
        self.length += 1
        return state
