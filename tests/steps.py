"""Runs packed steps of an artifact directly and reads the logits of every token."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from frames import i32, packed_frame
from numpy.typing import NDArray

from tapeout.runtime.frame import Frame
from tapeout.runtime.load import open_model
from tapeout.runtime.plan import Limits

PAGE_SIZE_TOKENS = 16
Logits = NDArray[np.float32]


@dataclass
class Sequence:
    """Token ids, and how many of them earlier steps have put into the cache."""

    token_ids: list[int]
    num_cached: int = 0
    pages: list[int] = field(default_factory=list)


class Steps:
    """An open artifact with room for `max_num_tokens` tokens over all sequences."""

    def __init__(
        self,
        artifact: Path,
        max_num_tokens: int = 1024,
        num_threads: int = 1,
        kv_cache_bytes: int = 64 << 20,
        max_num_seqs: int = 40,
    ) -> None:
        limits = Limits(
            max_model_len=640,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_tokens,
            max_logit_rows=max_num_tokens,
            kv_cache_bytes=kv_cache_bytes,
        )
        self.loaded = open_model(artifact, limits, num_threads=num_threads)
        self._num_groups = len(self.loaded.plan.num_pages)
        self._next_page = 1  # page 0 is the null page

    def close(self) -> None:
        """Ends the threads."""
        self.loaded.executor.close()

    def run(self, sequences: list[Sequence], counts: list[int]) -> list[Logits]:
        """One step over the next `counts[i]` tokens of each; gives each one's logits [count, V]."""
        logits = self.loaded.executor.step(self._frame(sequences, counts)).copy()
        for sequence, count in zip(sequences, counts, strict=True):
            sequence.num_cached += count
        return np.split(logits, np.cumsum(counts)[:-1])

    def prefill(self, prompts: list[list[int]]) -> list[Logits]:
        """The logits of whole prompts, packed in one step."""
        return self.run([Sequence(prompt) for prompt in prompts], [len(p) for p in prompts])

    def _frame(self, sequences: list[Sequence], counts: list[int]) -> Frame:
        ends = [s.num_cached + n for s, n in zip(sequences, counts, strict=True)]
        return packed_frame(
            [sequence.token_ids for sequence in sequences],
            [range(s.num_cached, end) for s, end in zip(sequences, ends, strict=True)],
            (self._block_table(sequences, ends),) * self._num_groups,
            self.loaded.plan.max_model_len,
        )

    def _block_table(self, sequences: list[Sequence], ends: list[int]) -> NDArray[np.int32]:
        for sequence, end in zip(sequences, ends, strict=True):
            while len(sequence.pages) * PAGE_SIZE_TOKENS < end:
                sequence.pages.append(self._next_page)
                self._next_page += 1
        width = max(len(sequence.pages) for sequence in sequences)
        return i32([s.pages + [0] * (width - len(s.pages)) for s in sequences])
