"""Steps that kernels of a GPU are timed in, packed by hand over pages that earlier ones filled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifact import Target
from ..codegen.triton.kernel import Steps
from ..kvcache.budget import bytes_per_page
from ..runtime.cuda.executor import CudaExecutor
from ..runtime.frame import I32, Arrival, Frame, Sampling
from ..runtime.limits import Limits
from ..runtime.plan import MemoryPlan

STEP_TOKENS = 8192  # of a step of any size
PROMPT_TOKENS = 2048  # of each of its prompts
CHECKED_TOKENS = 613  # of larger steps: to look at results of all takes long
CACHED_TOKENS = 1 << 17  # of all sequences of a step
_CONTEXTS = ((32, (1024, 4096)), (256, (128, 2048)))
"""Contexts of decode steps, by the most sequences: so many keys as no cache holds, and more."""
_MAX_MODEL_LEN = 4352
_PAGE_TOKENS = 16


def limits_for(target: Target, max_position_embeddings: int) -> Limits:
    """What a model is loaded for, to run these steps."""
    num_pages = 2 + (CACHED_TOKENS + STEP_TOKENS) // _PAGE_TOKENS + 256
    return Limits(
        max_model_len=min(max_position_embeddings, _MAX_MODEL_LEN),
        max_num_seqs=256,
        max_num_batched_tokens=STEP_TOKENS,
        max_logit_rows=256,
        kv_cache_bytes=num_pages * sum(bytes_per_page(group) for group in target.cache_groups),
    )


class StepFrames:
    """Makes steps of sequences that fill the slots of a load, with random tokens."""

    def __init__(self, plan: MemoryPlan, vocab_size: int) -> None:
        self._plan, self._vocab_size = plan, vocab_size
        self._of: dict[Steps, list[Frame]] = {}
        self._checked: dict[Steps, list[Frame]] = {}

    def fill(self, executor: CudaExecutor) -> None:
        """Gives every slot its tokens, and every page that steps name keys and values."""
        length, chance = self._plan.max_model_len, np.random.default_rng(0)
        num_slots = self._plan.max_num_seqs
        tokens = chance.integers(0, self._vocab_size, (num_slots, length), np.int32)
        arrivals = tuple(
            Arrival(slot, slot * length, row, length, Sampling()) for slot, row in enumerate(tokens)
        )
        size = min(PROMPT_TOKENS, length - 1)
        num_prompts = STEP_TOKENS // size
        for start in range(
            0, CACHED_TOKENS // _PAGE_TOKENS, num_prompts * -(-size // _PAGE_TOKENS)
        ):
            executor.run(self.frame(num_prompts, size, size, start, arrivals))
            arrivals = ()

    def of(self, steps: Steps) -> list[Frame]:
        """The largest steps of a size; with a token of each sequence in contexts short and long."""
        if steps not in self._of:
            self._of[steps] = self._largest(steps)
        return self._of[steps]

    def checked(self, steps: Steps) -> list[Frame]:
        """Steps in which results are looked at: of all rows, and of one less; few of many."""
        if steps not in self._checked:
            self._checked[steps] = self._largest_and_less(steps)
        return self._checked[steps]

    def _largest(self, steps: Steps) -> list[Frame]:
        longest = self._plan.max_model_len - 1
        if not steps.one_token_each:
            total = min(steps.max_rows or STEP_TOKENS, STEP_TOKENS)
            count = min(total, PROMPT_TOKENS, longest)
            return [self.frame(total // count, count, count)]
        num_seqs = steps.max_rows or self._plan.max_num_seqs
        contexts = next((found for most, found in _CONTEXTS if num_seqs <= most), (128,))
        fitting = {min(c, longest, CACHED_TOKENS // num_seqs) for c in contexts}
        return [self.frame(num_seqs, 1, context) for context in sorted(fitting)]

    def _largest_and_less(self, steps: Steps) -> list[Frame]:
        if steps.one_token_each:
            largest = self.of(steps)[-1]
            num_seqs, context = largest.dims[1], int(largest.context_lengths[0])
            return [largest, *([self.frame(num_seqs - 1, 1, context - 1)] if num_seqs > 1 else [])]
        most = min(steps.max_rows or STEP_TOKENS, CHECKED_TOKENS, self._plan.max_model_len // 2)
        return [self.frame(1, most - less, most + less) for less in (0, 1)]

    def frame(
        self,
        num_seqs: int,
        num_tokens: int,
        context: int,
        first_page: int = 0,
        arrivals: tuple[Arrival, ...] = (),
    ) -> Frame:
        """The last ``num_tokens`` of ``context`` tokens of each of so many sequences."""
        slots = np.arange(num_seqs)
        owners = np.repeat(slots, num_tokens)
        positions = np.tile(np.arange(context - num_tokens, context), num_seqs)
        first_places, ends = slots * self._plan.max_model_len, (slots + 1) * num_tokens
        return Frame(
            step_id=0,
            token_places=_i32(first_places[owners] + positions),
            positions=_i32(positions),
            sequence_ids=_i32(owners),
            query_start=_i32([0, *ends]),
            context_lengths=np.full(num_seqs, context, np.int32),
            logit_rows=_i32(ends - 1),
            sample_slots=_i32(slots),
            sample_positions=np.full(num_seqs, context, np.int64),
            sample_places=_i32(first_places + min(context, self._plan.max_model_len - 1)),
            targets=np.full(num_seqs, -1, np.int32),
            block_tables=tuple(
                self._block_table(num_seqs, context, first_page, num_pages)
                for num_pages in self._plan.num_pages
            ),
            arrivals=arrivals,
        )

    def _block_table(self, num_seqs: int, context: int, first: int, num_pages: int) -> I32:
        """Pages of their own for each sequence; where a group has fewer, they come round again."""
        width = -(-context // _PAGE_TOKENS)
        pages = first + np.arange(num_seqs * width).reshape(num_seqs, width)
        return _i32(1 + pages % (num_pages - 1))


def _i32(values: Sequence[int] | np.ndarray) -> I32:
    return np.ascontiguousarray(values, np.int32)
