"""What a caller gets: vLLM's shape, so that code written for one reads the other."""

import msgspec

from .logprobs import LogprobsOfToken
from .request import FinishReason, Times


class CompletionOutput(msgspec.Struct):
    """One completion of a prompt."""

    index: int  # which of the prompt's n
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None = None  # of all tokens so far
    logprobs: list[LogprobsOfToken] | None = None  # of each token
    finish_reason: FinishReason | None = None  # None while it goes on
    stop_reason: int | str | None = None  # the stop id or stop string; None at end of sequence

    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None

    def extended(self, later: "CompletionOutput") -> "CompletionOutput":
        """This delta and the next one as a single delta."""
        logprobs = None
        if self.logprobs is not None or later.logprobs is not None:
            logprobs = [*(self.logprobs or ()), *(later.logprobs or ())]
        return msgspec.structs.replace(
            later,
            text=self.text + later.text,
            token_ids=self.token_ids + later.token_ids,
            logprobs=logprobs,
        )


class RequestOutput(msgspec.Struct):
    """A prompt and its completions so far."""

    request_id: str
    prompt: str | None  # None if token ids were given
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    finished: bool
    prompt_logprobs: list[LogprobsOfToken | None] | None = None  # None for the first token
    num_cached_tokens: int | None = None  # of the prompt, not computed anew; known at the end
    metrics: Times | None = None  # from arrival to the end of the last completion

    def extended(self, later: "RequestOutput") -> "RequestOutput":
        """This delta and the next one as a single delta."""
        by_index = {output.index: output for output in self.outputs}
        for output in later.outputs:
            earlier = by_index.get(output.index)
            by_index[output.index] = earlier.extended(output) if earlier else output
        return msgspec.structs.replace(
            later,
            outputs=[by_index[index] for index in sorted(by_index)],
            prompt_logprobs=later.prompt_logprobs or self.prompt_logprobs,
        )
