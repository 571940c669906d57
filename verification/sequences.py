"""Steps over sequences that grow: any number of tokens of each, the logits of all of them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..runtime.frame import F32, Frame
from ..runtime.load import LoadedModel
from .frames import i32, packed_frame

PAGE_SIZE_TOKENS = 16


@dataclass
class Sequence:
    """Token ids, and how many of them earlier steps have put into the cache."""

    token_ids: list[int]
    num_cached: int = 0
    pages: list[int] = field(default_factory=list)


class PackedSteps:
    """A loaded model whose pages are handed out one after another, and never taken back."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._num_groups = len(loaded.plan.num_pages)
        self._next_page = 1  # page 0 is the null page

    def close(self) -> None:
        """Ends the threads."""
        self.loaded.executor.close()

    def run(self, sequences: list[Sequence], counts: list[int]) -> list[F32]:
        """One step over the next `counts[i]` tokens of each; gives each one's logits [count, V]."""
        logits = self.loaded.executor.step(self.frame(sequences, counts)).copy()
        for sequence, count in zip(sequences, counts, strict=True):
            sequence.num_cached += count
        return np.split(logits, np.cumsum(counts)[:-1])

    def prefill(self, prompts: list[list[int]]) -> list[F32]:
        """The logits of whole prompts, packed in one step."""
        return self.run([Sequence(prompt) for prompt in prompts], [len(p) for p in prompts])

    def frame(self, sequences: list[Sequence], counts: list[int]) -> Frame:
        """The step itself; the sequences stay as they are, but for their pages."""
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
