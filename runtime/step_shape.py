"""Sizes of a step that nobody runs: what costs depend on, without tokens and pages."""

from typing import NamedTuple

import numpy as np

from ..artifact import Described, Launch
from .frame import I32
from .player import Dims, one_token_each

_PAGE_SIZE_TOKENS = 16  # no cost depends on the width of a block table


class StepShape(NamedTuple):
    """A step that computes some tokens of each of its sequences, and a row of logits of each."""

    query_start: I32  # [S + 1]
    context_lengths: I32  # [S], once the step is done

    @property
    def dims(self) -> Dims:
        """T, S, R and P."""
        num_seqs = len(self.context_lengths)
        width = -(-int(self.context_lengths.max(initial=1)) // _PAGE_SIZE_TOKENS)
        return int(self.query_start[-1]), num_seqs, num_seqs, width

    @property
    def one_token_each(self) -> bool:
        """Whether it is a decode step."""
        return one_token_each(self.dims)

    def launches(self, described: Described) -> list[Launch]:
        """What a step of these sizes runs, in order: the model and the choice of tokens."""
        num_tokens, _, num_rows, _ = self.dims
        step = described.choose("step", num_tokens, self.one_token_each)
        return [*step.launches, *described.choose("sample", num_rows, False).launches]


def decode_shape(num_seqs: int, context: int) -> StepShape:
    """A token of each sequence, after `context` others."""
    return prompt_shape(num_seqs, 1, context)


def prompt_shape(num_seqs: int, num_tokens: int, context: int = 0) -> StepShape:
    """`num_tokens` of each sequence, after `context` others."""
    starts = np.arange(num_seqs + 1, dtype=np.int32) * num_tokens
    return StepShape(starts, np.full(num_seqs, context + num_tokens, np.int32))
