"""What sampling computes, for one row of logits at a time: the definition of the sampling ops.

A row is f32[V], its tokens i64[n] are those of the sequence before the sampled position, its edits
(token, value, end, prefix) as `runtime.frame.Edits` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch

from .random import gumbel

Tensor = torch.Tensor
Edit = tuple[int, float, int, list[int]]

NUM_TOP = 20
"""Of the most probable tokens that a row of logprobs holds."""


class Penalties(NamedTuple):
    """As vLLM has them; 1, 0 and 0 change nothing."""

    repetition: float
    presence: float
    frequency: float


def mask_row(logits: Tensor, words: Tensor) -> Tensor:
    """Minus infinity where bit v % 32 of word v // 32 is not set."""
    places = torch.arange(len(logits))
    allowed = words.long()[places // 32] >> (places % 32) & 1
    return torch.where(allowed.bool(), logits, -math.inf)


def edit_row(logits: Tensor, tokens: Tensor, edits: Iterable[Edit]) -> Tensor:
    """Adds, in order, each value whose end is to come and whose prefix the tokens end with."""
    logits, known = logits.clone(), tokens.tolist()
    for token, value, end, prefix in edits:
        start = len(known) - len(prefix)
        if len(known) < end and start >= 0 and known[start:] == prefix:
            logits[token] += value
    return logits


def penalize_row(
    logits: Tensor, tokens: Tensor, num_prompt_tokens: int, penalties: Penalties
) -> Tensor:
    """Repetition over all tokens; frequency, then presence, over those of the output."""
    seen = torch.bincount(tokens, minlength=len(logits)) > 0
    counts = torch.bincount(tokens[num_prompt_tokens:], minlength=len(logits)).float()
    repetition, presence, frequency = map(torch.tensor, penalties)
    less = torch.where(logits > 0, logits / repetition, logits * repetition)
    return torch.where(seen, less, logits) - frequency * counts - presence * (counts > 0).float()


def restrict_row(
    logits: Tensor, temperature: Tensor, top_k: int, top_p: float, min_p: float
) -> Tensor:
    """z = logits / temperature where z is in every set, minus infinity elsewhere.

    Each set holds all z from a threshold on, so equal ones go together. Top-k: the k-th largest.
    Min-p: the largest plus log(min_p). Top-p, over the softmax of what top-k leaves: the largest z
    above which the mass, its own included, is at least top_p. Temperature 0 changes nothing.
    """
    if not temperature > 0:
        return logits
    scores = logits / temperature
    ordered = scores.double().sort(descending=True).values
    if 0 < top_k < len(ordered):
        ordered = ordered[ordered >= ordered[top_k - 1]]
    lowest = float(ordered[-1])
    if min_p > 0:
        lowest = max(lowest, float(ordered[0]) + math.log(min_p))
    if top_p < 1:
        at_top = ordered == ordered[0]  # also where this is infinite
        mass = torch.where(at_top, 1.0, (ordered - ordered[0]).exp()).cumsum(0)
        lowest = max(lowest, float(ordered[int((mass >= top_p * mass[-1]).nonzero()[0])]))
    return torch.where(scores.double() >= lowest, scores, -math.inf)


def choose(scores: Tensor, temperature: float, seed: int, position: int) -> int:
    """The place of the largest score, with Gumbel noise above temperature 0; -1 if none is left."""
    if temperature > 0:
        scores = scores + gumbel(seed, position, len(scores))
    return int(scores.argmax()) if scores.max() > -math.inf else -1


def rank_row(logits: Tensor, token: int) -> tuple[float, int, Tensor, Tensor]:
    """Logprob and rank of the token, then ids and logprobs of the most probable ones, as many as
    there are up to `NUM_TOP`; of equal ones the lowest id comes first."""
    logprobs = logits.double().log_softmax(0)
    rank = 1 + int((logits > logits[token]).sum())
    best = (-logits).sort(stable=True).indices[:NUM_TOP]
    return float(logprobs[token]), rank, best, logprobs[best]
