"""What crosses between a scheduler and its executors: frames of steps one way, results the other.

The tokens of all sequences are packed one after the other, with no padding: T tokens of S
sequences, of which R rows want logits. An executor keeps a row of its tables for each of N slots:
the token ids of the sequence there, and how to sample it. A frame brings these rows when a
sequence arrives and speaks of slots from then on, so a token that is sampled in one step feeds the
next without passing through the host.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]

NUM_TOP_LOGPROBS = 20  # columns of the most probable tokens, K


class Edits(msgspec.Struct, frozen=True):
    """What is added to single logits: biases, and bans as minus infinity.

    Edit e adds `values[e]` to the logit of `token_ids[e]` while the sampled position is below
    `ends[e]` and the tokens before it end with `prefix_tokens[prefix_starts[e]:prefix_starts[e+1]]`
    (an empty prefix always matches). A bias, a token banned up to a length, and the last token of a
    bad word are all such edits.
    """

    token_ids: I32  # [E]
    values: F32  # [E]
    ends: I32  # [E], positions in the sequence, the prompt's counted
    prefix_starts: I32  # [E + 1]
    prefix_tokens: I32  # [W]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How a sequence's tokens are chosen; what is left at its default costs nothing."""

    temperature: float = 0.0  # 0 takes the most probable token
    top_k: int = 0  # 0: off
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0  # in 64 signed bits; the random stream is keyed by (seed, position)
    num_logprobs: int | None = None  # of the most probable beside the chosen; None: no logprobs
    num_prompt_logprobs: int | None = None
    edits: Edits | None = None
    mask: I32 | None = None  # [ceil(V / 32)], bit v % 32 of word v // 32: token v is allowed


class Arrival(msgspec.Struct, frozen=True):
    """A sequence that takes a slot: what goes into the executor's tables before the step."""

    slot: int
    first_place: int  # in the token table
    token_ids: I32  # every token known so far
    num_prompt_tokens: int
    sampling: Sampling


class Frame(msgspec.Struct, frozen=True):
    """One packed step. Tokens of a sequence are contiguous, sequences in order.

    Row r of the logits is computed at token `logit_rows[r]`. The token chosen by it, or
    `targets[r]` where that is known already, goes to `sample_places[r]` of the token table.
    """

    step_id: int  # counts from 0; results come back in this order
    token_places: I32  # [T], where each token is in the token table
    positions: I32  # [T], of each token in its sequence
    sequence_ids: I32  # [T], index in 0..S-1 of each token's sequence
    query_start: I32  # [S+1], the first packed token of each sequence, and T
    context_lengths: I32  # [S], tokens in the cache after this step
    logit_rows: I32  # [R], index in 0..T-1 of the token of each row of logits, each above the last
    sample_slots: I32  # [R]
    sample_positions: I64  # [R], the position that the chosen token has
    sample_places: I32  # [R], its place in the token table
    targets: I32  # [R]; -1 to choose one
    block_tables: tuple[I32, ...]  # for each cache group [S, P]
    arrivals: tuple[Arrival, ...] = ()
    masks: tuple[tuple[int, I32], ...] = ()  # (slot, mask) that replace earlier ones
    wants_logprobs: bool = False

    @property
    def dims(self) -> tuple[int, int, int, int]:
        """T, S, R, P."""
        return (
            len(self.token_places),
            len(self.context_lengths),
            len(self.logit_rows),
            self.block_tables[0].shape[1] if self.block_tables else 0,
        )


class Logprobs(msgspec.Struct, frozen=True):
    """Natural logarithms of probabilities, of softmax over the logits as the model gave them."""

    chosen: F32  # [R], of the chosen token or the target
    ranks: I32  # [R], of it: 1 is the most probable
    top_token_ids: I32  # [R, K], most probable first, the lowest id first among equals
    top: F32  # [R, K]


class StepResult(msgspec.Struct, frozen=True):
    """What a step gave."""

    step_id: int
    token_ids: I32  # [R], the chosen token or the target; -1 where a logit was NaN or infinite
    logprobs: Logprobs | None = None
