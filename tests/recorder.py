"""An executor that keeps the logits of every step it runs, and what one row of a step gave."""

from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tapeout.artifact import Artifact, CacheGroup
from tapeout.kvcache.pages import NULL_PAGE
from tapeout.runtime.executor import TARGET, Executor
from tapeout.runtime.frame import F32, Frame, Logprobs, Sampling, StepResult
from tapeout.runtime.limits import Limits
from tapeout.runtime.plan import plan_memory

MAX_MODEL_LEN = MAX_STEP_TOKENS = 640
_NAN_BYTE = 0xFF  # floats of any width made of it are not numbers


class Row(NamedTuple):
    """What a step gave at one place of a sequence, as bits: two rows are compared exactly."""

    logits: NDArray[np.int32]  # [V]
    token_id: int  # the chosen one, or the target
    logprobs: bytes  # the chosen token's, its rank, and as many of the best as were asked for


class Recorder(Executor):
    """Steps may be in flight: the logits are copied before the next step can begin."""

    def __init__(
        self, folder: Path, num_threads: int = 1, max_model_len: int = MAX_MODEL_LEN
    ) -> None:
        artifact = Artifact.open(folder)
        self.target, self.model = artifact.manifest.targets[TARGET], artifact.manifest.model
        self._logits: deque[F32] = deque()
        limits = Limits(
            max_model_len=max_model_len,
            max_num_seqs=16,
            max_num_batched_tokens=MAX_STEP_TOKENS,
            max_logit_rows=MAX_STEP_TOKENS,
        )
        plan = plan_memory(self.target, self.model.max_position_embeddings, limits)
        super().__init__(artifact, plan, num_threads)

    def poison(self) -> None:
        """Whoever reads from the cache what no step has written gets logits that are no numbers.

        The null page stays zero: it stands in for pages that a window has left behind, whose values
        count nothing times.
        """
        for group in self.target.cache_groups:
            self.poison_pages(group, slice(NULL_PAGE + 1, None))

    def poison_pages(self, group: CacheGroup, pages: Any) -> None:
        """Only these pages of a group, by their numbers."""
        memory = self.buffers.caches[group.name].view(np.uint8)
        memory.reshape(group.layers, -1, group.page_bytes_per_layer)[:, pages] = _NAN_BYTE

    def wait_with_logits(self) -> tuple[StepResult, F32]:
        """The oldest step's result and its logits f32[R, V]."""
        result = self.wait()
        return result, self._logits.popleft()

    def _run(self, frame: Frame) -> StepResult:
        result = super()._run(frame)
        self._logits.append(self.logits(len(frame.logit_rows)).copy())
        return result


def row_of(result: StepResult, logits: F32, row: int, sampling: Sampling, is_target: bool) -> Row:
    """Row `row` of a step, with the logprobs that its sequence asks for."""
    count = sampling.num_prompt_logprobs if is_target else sampling.num_logprobs
    found = b"" if count is None else _logprobs(result.logprobs, row, count)
    return Row(logits[row].view(np.int32), int(result.token_ids[row]), found)


def _logprobs(logprobs: Logprobs | None, row: int, count: int) -> bytes:
    assert logprobs is not None, "a row wants logprobs and the step gave none"
    parts = (
        logprobs.chosen[row],
        logprobs.ranks[row],
        logprobs.top_token_ids[row, :count],
        logprobs.top[row, :count],
    )
    return b"".join(part.tobytes() for part in parts)
