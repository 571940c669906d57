"""Counts what a request takes, as its outputs come: for its usage, the metrics and the log."""

from collections import Counter
from time import monotonic
from typing import Any

from ..runtime.outputs import RequestOutput
from .api_errors import ApiError
from .metrics import Metrics
from .schemas.openai import PromptTokensDetails, Usage

_FAILED = {
    "timeout": (408, "the time for the request is over"),
    "abort": (503, "the request was ended by the server"),
    "numeric_error": (500, "the model computed no finite number for this request"),
    "grammar_error": (400, "no token is left that the constraints of the request allow"),
    "text_error": (500, "no text can be made of what the model said"),
}


def failure(reason: str) -> ApiError:
    """What a request is answered with whose output ends for such a reason."""
    status, message = _FAILED[reason]
    return ApiError(status, message, kind="server_error", code=reason)


class Tally:
    """The tokens of a request's prompts and completions."""

    def __init__(self, metrics: Metrics, started_s: float) -> None:
        self._metrics, self._started_s = metrics, started_s
        self._last_s: float | None = None  # of the last piece
        self._num_tokens: Counter[str] = Counter()  # of the completions of each prompt
        self.num_prompt_tokens = self.num_cached_tokens = 0
        self.finish_reasons: list[str] = []

    def add(self, output: RequestOutput) -> None:
        """Takes the next output of one of the prompts. Raises ApiError where that has failed."""
        name = output.request_id
        if name not in self._num_tokens:
            self.num_prompt_tokens += len(output.prompt_token_ids)
        self._num_tokens[name] += sum(len(c.token_ids) for c in output.outputs)
        self._note_time(output)
        for completion in output.outputs:
            if completion.finish_reason is not None:
                self.finish_reasons.append(completion.finish_reason)
                self._metrics.completed(completion.finish_reason)
        if output.finished:
            self.num_cached_tokens += output.num_cached_tokens or 0
            self._metrics.finished(output, self._started_s, self._num_tokens[name])
        for reason in _FAILED.keys() & self.finish_reasons:
            raise failure(reason)

    @property
    def num_output_tokens(self) -> int:
        """Of all completions so far."""
        return self._num_tokens.total()

    def usage(self) -> Usage:
        """In OpenAI's words."""
        num_output_tokens = self.num_output_tokens
        return Usage(
            self.num_prompt_tokens,
            num_output_tokens,
            self.num_prompt_tokens + num_output_tokens,
            PromptTokensDetails(self.num_cached_tokens),
        )

    def facts(self) -> dict[str, Any]:
        """For the log."""
        return {
            "num_prompt_tokens": self.num_prompt_tokens,
            "num_output_tokens": self.num_output_tokens,
            "num_cached_tokens": self.num_cached_tokens,
            "finish_reasons": self.finish_reasons,
        }

    def _note_time(self, output: RequestOutput) -> None:
        now_s = monotonic()
        if self._last_s is not None:
            self._metrics.observe("inter_token_latency_seconds", now_s - self._last_s)
        self._last_s = now_s
