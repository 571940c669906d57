"""Counts what a request has taken, as its outputs come."""

from typing import Any

from ..runtime.outputs import RequestOutput
from .api_errors import ApiError
from .schemas.openai import PromptTokensDetails, Usage

_FAILED = {
    "timeout": (408, "the time for the request is over"),
    "abort": (503, "the request was ended by the server"),
    "numeric_error": (500, "the model computed no finite number for this request"),
    "text_error": (500, "no text can be made of what the model said"),
}


class Tally:
    """The tokens of a request's prompts and completions."""

    def __init__(self) -> None:
        self.num_prompt_tokens = self.num_output_tokens = self.num_cached_tokens = 0
        self.finish_reasons: list[str] = []
        self._seen: set[str] = set()

    def add(self, output: RequestOutput) -> None:
        """Takes the next output of one of the prompts. Raises ApiError where that has failed."""
        if output.request_id not in self._seen:
            self._seen.add(output.request_id)
            self.num_prompt_tokens += len(output.prompt_token_ids)
        for completion in output.outputs:
            self.num_output_tokens += len(completion.token_ids)
            reason = completion.finish_reason
            if reason in _FAILED:
                status, message = _FAILED[reason]
                raise ApiError(status, message, kind="server_error", code=reason)
            if reason is not None:
                self.finish_reasons.append(reason)
        if output.finished:
            self.num_cached_tokens += output.num_cached_tokens or 0

    def usage(self) -> Usage:
        """In OpenAI's words."""
        return Usage(
            self.num_prompt_tokens,
            self.num_output_tokens,
            self.num_prompt_tokens + self.num_output_tokens,
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
