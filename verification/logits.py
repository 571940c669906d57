"""Logits of prefill, decode and mixed steps against a reference that knows no kernels.

Distance and KL divergence are medians over rows: where a router's choice falls otherwise, single
rows are far off in any type. Whether many rows are, top-1 tells. A choice that falls otherwise
early in a long prompt moves most of its rows, so what fails is tried with other prompts: a fault
fails with all.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from typing import NamedTuple

import numpy as np
import torch

from ..runtime.frame import F32
from ..runtime.load import LoadedModel
from .certificate import LogitsError
from .errors import MAX_RATIO, UNITS
from .findings import Findings
from .sequences import PackedSteps, Sequence

LENGTHS = (1, 12, 33, 82)
"""Tokens of the prompts."""

NUM_DECODED = 10
"""Of each prompt but the first: the tokens at its end that decode steps take."""

MAX_KL_RATIO = MAX_RATIO**2
MIN_KL = 1e-8
MAX_TOP1_LOSS = 0.05
NUM_PROMPT_SETS = 3
MIN_ROWS_LOST = 2  # that may be lost of few: two tokens of which either is as probable


class Reference(NamedTuple):
    """Logits f32[tokens, V] of each prompt: exact ones, and in the model's own type."""

    exact: list[torch.Tensor]
    rounded: list[torch.Tensor]


def prompts_for(vocab_size: int, max_model_len: int, seed: int = 0) -> list[list[int]]:
    """Random tokens."""
    rng = np.random.default_rng(seed)
    lengths = [min(length, max_model_len - 1) for length in LENGTHS]
    return [rng.integers(0, vocab_size, length).tolist() for length in lengths]


def check_logits(
    loaded: LoadedModel,
    tries: Iterable[tuple[list[list[int]], Reference]],
    findings: Findings,
) -> None:
    """Runs steps of each kind and compares every row; each try has prompts of its own."""
    before, num_tries = findings.num_faults, 0
    found: dict[str, LogitsError] = {}
    for prompts, reference in tries:
        num_tries += 1
        for kind, step in (("prefill", _prefill), ("decode", _decode), ("mixed", _mixed)):
            if kind not in found or not found[kind].passed:
                found[kind] = _compare(kind, step(loaded, prompts), reference)
        if before or all(error.passed for error in found.values()):
            break  # a fault that was found before says why logits are off
    findings.logits += found.values()
    for error in found.values():
        if not error.passed:
            findings.fault(_describe(error))
    rows = sum(error.num_rows for error in found.values())
    again = f", tried with {num_tries} sets of prompts" if num_tries > 1 else ""
    findings.close("logits", before, f"{rows} rows of prefill, decode and mixed steps{again}")


def _describe(error: LogitsError) -> str:
    return (
        f"logits of {error.steps} steps are off by {error.distance:.3g}, KL {error.kl:.3g}, top-1 "
        f"{error.top1:.1%}; in the model's own type the reference is off by "
        f"{error.distance_of_rounded:.3g}, {error.kl_of_rounded:.3g}, {error.top1_of_rounded:.1%}"
    )


Pieces = list[tuple[int, int, F32]]  # a prompt, its first token, and logits from there on


def _prefill(loaded: LoadedModel, prompts: list[list[int]]) -> Pieces:
    return [(i, 0, rows) for i, rows in enumerate(PackedSteps(loaded).prefill(prompts))]


def _decode(loaded: LoadedModel, prompts: list[list[int]]) -> Pieces:
    """The last tokens one by one, of all prompts at once."""
    steps, sequences = PackedSteps(loaded), [Sequence(prompt) for prompt in prompts[1:]]
    steps.run(sequences, [len(s.token_ids) - NUM_DECODED for s in sequences])
    pieces: Pieces = []
    for _ in range(NUM_DECODED):
        starts = [sequence.num_cached for sequence in sequences]
        found = steps.run(sequences, [1] * len(sequences))
        pieces += [(i + 1, *both) for i, both in enumerate(zip(starts, found, strict=True))]
    return pieces


def _mixed(loaded: LoadedModel, prompts: list[list[int]]) -> Pieces:
    """Chunks of some prompts beside single tokens of others."""
    steps, sequences = PackedSteps(loaded), [Sequence(prompt) for prompt in prompts]
    first = [len(p) - 1 if i % 2 else len(p) * 2 // 3 for i, p in enumerate(prompts)][1:]
    steps.run(sequences[1:], first)
    starts = [sequence.num_cached for sequence in sequences]
    counts = [len(s.token_ids) - s.num_cached for s in sequences]
    found = steps.run(sequences, counts)
    return [(i, *both) for i, both in enumerate(zip(starts, found, strict=True))]


def _compare(kind: str, pieces: Pieces, reference: Reference) -> LogitsError:
    found = torch.cat([torch.from_numpy(rows) for _, _, rows in pieces])
    exact, rounded = (_rows(pieces, logits) for logits in reference)
    distance, of_rounded = (_distance(rows, exact) for rows in (found, rounded))
    kl, kl_of_rounded = (_kl(rows, exact) for rows in (found, rounded))
    top1, top1_of_rounded = (_top1(rows, exact) for rows in (found, rounded))
    return LogitsError(
        steps=kind,
        num_rows=len(found),
        distance=distance,
        distance_of_rounded=of_rounded,
        kl=kl,
        kl_of_rounded=kl_of_rounded,
        top1=top1,
        top1_of_rounded=top1_of_rounded,
        passed=distance <= MAX_RATIO * (of_rounded + UNITS[torch.float32])
        and kl <= MAX_KL_RATIO * kl_of_rounded + MIN_KL
        and top1 >= top1_of_rounded - max(MAX_TOP1_LOSS, MIN_ROWS_LOST / len(found)),
    )


def _rows(pieces: Pieces, logits: Rows[torch.Tensor]) -> torch.Tensor:
    """The reference's rows for the same tokens."""
    return torch.cat([logits[i][start : start + len(rows)] for i, start, rows in pieces])


def _distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float(((found - exact).norm(dim=-1) / exact.norm(dim=-1)).median())


def _kl(found: torch.Tensor, exact: torch.Tensor) -> float:
    rows = [_kl_of_row(*pair) for pair in zip(found, exact, strict=True)]
    return float(torch.tensor(rows).median())


def _kl_of_row(found: torch.Tensor, exact: torch.Tensor) -> float:
    log_p, log_q = (torch.log_softmax(row.double(), -1) for row in (exact, found))
    return float((log_p.exp() * (log_p - log_q)).sum())


def _top1(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.argmax(-1) == exact.argmax(-1)).float().mean())
