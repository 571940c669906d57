"""What a caller gets: vLLM's shape, so that code written for one reads the other."""

from typing import Any

import msgspec

from .request import FinishReason, Times


class CompletionOutput(msgspec.Struct):
    """One completion of a prompt."""

    index: int  # which of the prompt's n
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None = None
    logprobs: list[Any] | None = None
    finish_reason: FinishReason | None = None  # None while it goes on
    stop_reason: int | str | None = None  # the stop id or stop string; None at end of sequence

    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None


class RequestOutput(msgspec.Struct):
    """A prompt and its completions so far."""

    request_id: str
    prompt: str | None  # None if token ids were given
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    finished: bool
    prompt_logprobs: list[Any] | None = None
    num_cached_tokens: int | None = None
    metrics: Times | None = None  # of the completion that ended last
