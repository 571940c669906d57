"""The steps that a tape is tried with: 1 row, one less than it is made for, and just so many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from ..artifact import Tape
from ..kvcache.pages import NULL_PAGE
from ..runtime.frame import Edits, Frame, Sampling
from ..runtime.plan import MemoryPlan
from .frames import i32, packed_frame

PAGE_SIZE_TOKENS = 16
MAX_CONTEXT = 1500
"""Of the one long sequence."""
_CONTEXTS = (0, 1, 15, 16, 17, 30, 7, 22)  # before the step
_COUNTS = (1, 7, 33, 1, 64, 100, 2, 16)  # tokens in the step


class Trial(NamedTuple):
    """A step for a tape; one for sampling comes after a step that makes its logits."""

    tape: str
    frame: Frame

    @property
    def num_tokens(self) -> int:
        """In the step."""
        return len(self.frame.token_places)


def trials(
    tapes: Mapping[str, Tape], plan: MemoryPlan, vocab_size: int, buckets: Sequence[int]
) -> Iterator[Trial]:
    """Of all tapes, in order; within a tape of any step kernels may have ``buckets`` of rows."""
    maker = _Maker(plan, vocab_size)
    for name, tape in tapes.items():
        if name.split(".")[0] == "step":
            for size in sizes_of(tape, plan.max_num_batched_tokens, buckets):
                yield Trial(name, maker.frame([1] * size if tape.one_token_each else _counts(size)))
        else:
            for size in sizes_of(tape, min(plan.max_logit_rows, plan.max_num_seqs)):
                yield Trial(name, maker.frame([1] * size))


def sizes_of(tape: Tape, most: int, buckets: Sequence[int] = ()) -> list[int]:
    """1, each bucket less one and each bucket; ``most`` is the last of a tape without a bound."""
    inner = [] if tape.max_rows else [bucket for bucket in buckets if bucket < most]
    ends = [*inner, min(tape.max_rows or most, most)]
    return sorted({1, *ends, *(end - 1 for end in ends)} - {0})


def _counts(num_tokens: int) -> list[int]:
    """Tokens of sequences that together have so many."""
    counts: list[int] = []
    while sum(counts) < num_tokens:
        count = _COUNTS[len(counts) % len(_COUNTS)]
        counts.append(min(count, num_tokens - sum(counts)))
    return counts


class _Maker:
    """Makes frames over a load's pages; the pages hold something already."""

    def __init__(self, plan: MemoryPlan, vocab_size: int) -> None:
        self._plan, self._vocab_size = plan, vocab_size
        self._samplings = _samplings(vocab_size)
        self._rng = np.random.default_rng(0)

    def frame(self, counts: Sequence[int]) -> Frame:
        """A step over so many tokens of each sequence, the first after a long context."""
        contexts = [_CONTEXTS[i % len(_CONTEXTS)] for i in range(len(counts))]
        longest = self._plan.max_model_len - 1
        contexts[0] = min(MAX_CONTEXT, longest - counts[0])
        spans = [range(a, min(a + n, longest)) for a, n in zip(contexts, counts, strict=True)]
        known = [self._rng.integers(0, self._vocab_size, span.stop).tolist() for span in spans]
        return packed_frame(
            known,
            spans,
            (self._block_table(spans),) * len(self._plan.num_pages),
            self._plan.max_model_len,
            rows=_rows(spans, self._plan.max_logit_rows),
            samplings=[self._samplings[i % len(self._samplings)] for i in range(len(counts))],
        )

    def _block_table(self, spans: Sequence[range]) -> np.ndarray:
        counts = [-(-span.stop // PAGE_SIZE_TOKENS) for span in spans]
        ends = NULL_PAGE + 1 + np.cumsum(counts)
        assert ends[-1] <= min(self._plan.num_pages), "the load has too few pages"
        table = np.zeros((len(spans), max(counts)), np.int32)
        for row, count, end in zip(table, counts, ends, strict=True):
            row[:count] = np.arange(end - count, end)
        return i32(table)


def _rows(spans: Sequence[range], most: int) -> list[int]:
    """All tokens of the step if they are few, else the last of each sequence."""
    counts = np.array([len(span) for span in spans])
    if counts.sum() <= most:
        return list(range(counts.sum()))
    last = (np.cumsum(counts) - 1)[:most]
    return [int(row) for row in last]


def _samplings(vocab_size: int) -> list[Sampling]:
    """One of each kind; edits are of the first and the last token."""
    edits = Edits(
        token_ids=i32([0, vocab_size - 1]),
        values=np.array([2.0, -np.inf], np.float32),
        ends=i32([1 << 20, 1 << 20]),
        prefix_starts=i32([0, 0, 0]),
        prefix_tokens=i32([]),
    )
    kinds = (
        Sampling(),
        Sampling(temperature=0.8, top_k=20, top_p=0.9, seed=1),
        Sampling(temperature=1.0, min_p=0.05, repetition_penalty=1.2, seed=2),
        Sampling(temperature=1.2, presence_penalty=0.5, frequency_penalty=0.3, edits=edits),
    )
    return [replace(kind, num_logprobs=20, num_prompt_logprobs=20) for kind in kinds]
