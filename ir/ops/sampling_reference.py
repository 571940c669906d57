"""What the sampling ops compute: their definition, for a row of logits, then for all operands.

A row is f32[V], its tokens i64[n] are those of the sequence before the sampled position, its edits
(token, value, end, prefix) as `runtime.frame.Edits` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from .base import Attrs
from .random import OF_SPANS, gumbel

Tensor = torch.Tensor
Tensors = tuple[Tensor, ...]
Edit = tuple[int, float, int, list[int]]

NUM_TOP = 20
"""Of the most probable tokens that a row of logprobs holds."""

SPAN = 1024
"""Places of a row's spans, one of which is drawn before the token; the last may have fewer."""


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
    """The place of the largest score, or above temperature 0 one drawn; -1 if none is left."""
    if not scores.max() > -math.inf:
        return -1
    return _draw(scores, seed, position) if temperature > 0 else int(scores.argmax())


def _draw(scores: Tensor, seed: int, position: int) -> int:
    """A place, with the probabilities of the softmax: of span by span, then of place by place.

    Largest sums with Gumbel noise are draws: of a span by the logarithm of its mass, where that is
    finite within about a unit in the last place of its scores, then of a place in it by its score.
    So a place takes one exponential and, but for those of one span, no noise.
    """
    masses = torch.stack([span.double().logsumexp(0) for span in scores.split(SPAN)]).float()
    first = SPAN * int((masses + gumbel(seed, position, len(masses), OF_SPANS)).argmax())
    noise = gumbel(seed, position, len(scores))
    return first + int((scores + noise)[first : first + SPAN].argmax())


def rank_row(logits: Tensor, token: int) -> tuple[float, int, Tensor, Tensor]:
    """Logprob and rank of the token, then ids and logprobs of the most probable ones, as many as
    there are up to `NUM_TOP`; of equal ones the lowest id comes first."""
    of_all = logits.double().log_softmax(0)
    rank = 1 + int((logits > logits[token]).sum())
    best = (-logits).sort(stable=True).indices[:NUM_TOP]
    return float(of_all[token]), rank, best, of_all[best]


def adjust(operands: Sequence[Tensor], _: Attrs) -> Tensors:
    """Every row masked, edited and penalized."""
    logits, slots, positions, places, table, num_prompt_tokens, *rest = operands
    repetition, presence, frequency, *edits, has_mask, masks = rest
    rows = []
    for row, slot, n, end in _rows(logits, slots, positions, places):
        tokens = table[end - n : end].long()
        row = mask_row(row, masks[slot]) if has_mask[slot] else row
        row = edit_row(row, tokens, _edits(slot, *edits))
        penalties = Penalties(*(float(x[slot]) for x in (repetition, presence, frequency)))
        rows.append(penalize_row(row, tokens, int(num_prompt_tokens[slot]), penalties))
    return (torch.stack(rows),)


def _edits(slot: int, counts: Tensor, *tables: Tensor) -> list[Edit]:
    tokens, values, ends, starts, prefixes = (table[slot].tolist() for table in tables)
    return [
        (tokens[e], values[e], ends[e], prefixes[starts[e] : starts[e + 1]])
        for e in range(int(counts[slot]))
    ]


def restrict(operands: Sequence[Tensor], _: Attrs) -> Tensors:
    """Every row scaled and restricted."""
    adjusted, slots, temperature, top_k, top_p, min_p = operands
    rows = [
        restrict_row(row, temperature[s], int(top_k[s]), float(top_p[s]), float(min_p[s]))
        for row, s in _rows(adjusted, slots)
    ]
    return (torch.stack(rows),)


def sample(operands: Sequence[Tensor], _: Attrs) -> Tensors:
    """A token or the target for every row, -1 where a logit is not finite."""
    logits, scores, slots, temperature, seeds, positions, targets = operands
    tokens = []
    for row, left, slot, position, target in _rows(logits, scores, slots, positions, targets):
        if not row.isfinite().all():
            tokens.append(-1)
        elif target >= 0:
            tokens.append(target)
        else:
            tokens.append(choose(left, float(temperature[slot]), int(seeds[slot]), position))
    return (torch.tensor(tokens, dtype=torch.int32),)


def logprobs(operands: Sequence[Tensor], _: Attrs) -> Tensors:
    """The results of `rank_row` for every row that wants them."""
    logits, tokens, targets, slots, num_logprobs, num_prompt_logprobs = operands
    count = len(logits)
    chosen, ranks = torch.zeros(count), torch.zeros(count, dtype=torch.int32)
    top_ids = torch.full((count, NUM_TOP), -1, dtype=torch.int32)
    top = torch.full((count, NUM_TOP), -torch.inf)
    for r, (row, token, target, slot) in enumerate(_rows(logits, tokens, targets, slots)):
        wanted = num_prompt_logprobs if target >= 0 else num_logprobs
        if wanted[slot] >= 0 and token >= 0:
            chosen[r], ranks[r], ids, values = rank_row(row, token)
            top_ids[r, : len(ids)], top[r, : len(ids)] = ids.int(), values.float()
    return chosen, ranks, top_ids, top


def write(operands: Sequence[Tensor], _: Attrs) -> Tensors:
    """The token table, updated."""
    table, tokens, targets, places = operands
    known = torch.where(targets >= 0, targets, tokens)
    table[places.long()] = known.clamp_min(0)
    return (table,)


def _rows(logits: Tensor, *columns: Tensor) -> Iterable[tuple[Any, ...]]:
    """Rows of logits with their entries of the other operands: scores, or whole numbers."""
    lists = [column if column.ndim > 1 else column.tolist() for column in columns]
    return zip(logits, *lists, strict=True)
