"""The frame of one step: what the executor is asked to run, with no Python object of a request.

The tokens of all sequences are packed one after the other, with no padding: T tokens of S
sequences, of which R rows want logits. A scheduler makes frames; so may a test.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]


class Frame(msgspec.Struct, frozen=True):
    """One packed step. Tokens of a sequence are contiguous, sequences in order."""

    token_ids: I32  # [T]
    positions: I32  # [T], of each token in its sequence
    sequence_ids: I32  # [T], index in 0..S-1 of each token's sequence
    query_start: I32  # [S+1], the first packed token of each sequence, and T
    context_lengths: I32  # [S], tokens in the cache after this step
    logit_rows: I32  # [R], index in 0..T-1 of the token of each row of logits
    block_tables: tuple[I32, ...]  # for each cache group [S, P]

    @property
    def dims(self) -> tuple[int, int, int, int]:
        """T, S, R, P."""
        return (
            len(self.token_ids),
            len(self.context_lengths),
            len(self.logit_rows),
            self.block_tables[0].shape[1] if self.block_tables else 0,
        )


class SamplingFrame(msgspec.Struct, frozen=True):
    """How to choose a token from each row of logits."""

    temperature: F32  # [R]; 0 takes the most probable token
    seeds: I64  # [R]; the random stream is keyed by (seed, position)
    sample_positions: I64  # [R], the position the chosen token will have
