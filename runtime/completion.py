"""One completion of a prompt on its way: its tokens, its text, and how it ends."""

import logging
from collections.abc import Sequence

import msgspec

from .detokenizer import Detokenizer
from .frame import Logprobs
from .logprobs import LogprobsOfToken, logprobs_of_row
from .outputs import CompletionOutput
from .request import Finished, FinishReason
from .sampling_params import SamplingParams
from .tokenizer import Tokenizer

_log = logging.getLogger(__name__)


class Completion:
    """Text is made token by token where someone watches, else once at the end."""

    def __init__(
        self,
        index: int,
        params: SamplingParams,
        tokenizer: Tokenizer | None,
        prompt_token_ids: Sequence[int],
        stop_token_ids: Sequence[int],
    ) -> None:
        self.output = CompletionOutput(index=index, text="", token_ids=[])
        if params.logprobs is not None:
            self.output.logprobs, self.output.cumulative_logprob = [], 0.0
        self._params, self._stop_token_ids = params, frozenset(stop_token_ids)
        self._num_pushed = 0  # to the detokenizer
        self._has_failed = False
        self._num_sent_tokens, self._num_sent_characters = 0, 0
        self._end_is_sent = False
        self._tokenizer = tokenizer if params.detokenize else None
        self._detokenizer: Detokenizer | None = None
        if self._tokenizer is not None:
            self._detokenizer = Detokenizer(
                self._tokenizer,
                prompt_token_ids,
                params.stop_strings,
                params.skip_special_tokens,
                params.include_stop_str_in_output,
            )

    @property
    def own_end(self) -> FinishReason | None:
        """Why it ends here, whatever is computed ahead: by a stop string, or by text that fails."""
        if self._has_failed:
            return "text_error"
        return "stop" if self._stop_string is not None else None

    def push(self, token_id: int, logprobs: Logprobs | None, row: int) -> bool:
        """Takes the next token as it comes; True if it has an end of its own with it.

        What comes behind such an end is passed over.
        """
        if self.own_end is not None:
            return False
        try:
            self._push(token_id, logprobs, row)
        except Exception as error:
            self.fail(error)
        return self.own_end is not None

    def finish(self, finished: Finished) -> None:
        """Takes the end as the scheduler saw it; an end of its own goes before."""
        output = self.output
        output.finish_reason = finished.finish_reason
        if finished.stop_token_id in (self._params.stop_token_ids or ()):
            output.stop_reason = finished.stop_token_id
        if self.own_end is None:
            output.token_ids = finished.token_ids
            try:
                self._flush(finished.token_ids[self._num_pushed :])
            except Exception as error:
                self.fail(error)
        if self.own_end is not None:
            output.finish_reason, output.stop_reason = self.own_end, self._stop_string

    def fail(self, error: Exception) -> None:
        """Ends it with the text that there is: of what comes next none can be made."""
        _log.warning("an output ends early, for no text can be made of its tokens: %r", error)
        self._has_failed = True

    def is_due(self, interval: int) -> bool:
        """Whether a stream should tell of it: a first token, `interval` more, or the end."""
        count = len(self.output.token_ids) - self._num_sent_tokens
        is_first = self._num_sent_tokens == 0 and count > 0
        return is_first or count >= interval or (self.output.finished() and not self._end_is_sent)

    def snapshot(self) -> CompletionOutput:
        """All that there is so far, not touched by later steps."""
        output = self.output
        logprobs = None if output.logprobs is None else list(output.logprobs)
        self._note_sent()
        return msgspec.structs.replace(output, token_ids=list(output.token_ids), logprobs=logprobs)

    def delta(self) -> CompletionOutput:
        """What is new since the last delta."""
        output, first = self.output, self._num_sent_tokens
        text = output.text[self._num_sent_characters :]
        logprobs = None if output.logprobs is None else output.logprobs[first:]
        self._note_sent()
        return msgspec.structs.replace(
            output, text=text, token_ids=output.token_ids[first:], logprobs=logprobs
        )

    def _note_sent(self) -> None:
        self._num_sent_tokens = len(self.output.token_ids)
        self._num_sent_characters = len(self.output.text)
        self._end_is_sent = self.output.finished()

    @property
    def _stop_string(self) -> str | None:
        return self._detokenizer.stop_string if self._detokenizer is not None else None

    def _push(self, token_id: int, logprobs: Logprobs | None, row: int) -> None:
        """What may fail comes first: a token is in the output with all that belongs to it."""
        output, entries = self.output, None
        if output.logprobs is not None and logprobs is not None:
            count = self._params.logprobs or 0
            entries = logprobs_of_row(logprobs, row, token_id, count, self._text_of)
        if self._detokenizer is not None and not self._is_silent(token_id):
            may_stop = len(output.token_ids) >= self._params.min_tokens
            self._detokenizer.push([token_id], may_stop=may_stop)
            self._num_pushed += 1
            output.text = self._detokenizer.visible_text()
        output.token_ids.append(token_id)
        if entries is not None:
            self._add_logprobs(entries, token_id)

    def _add_logprobs(self, entries: LogprobsOfToken, token_id: int) -> None:
        output = self.output
        assert output.logprobs is not None and output.cumulative_logprob is not None
        output.logprobs.append(entries)
        output.cumulative_logprob += entries[token_id].logprob

    def _text_of(self, token_id: int) -> str | None:
        return None if self._tokenizer is None else self._tokenizer.token_text(token_id)

    def _flush(self, token_ids: list[int]) -> None:
        """Makes the text of the last tokens, and of what was held back."""
        if self._detokenizer is None:
            return
        if token_ids and self._is_silent(token_ids[-1]):
            token_ids = token_ids[:-1]
        may_stop = len(self.output.token_ids) > self._params.min_tokens
        self._detokenizer.push(token_ids, flush=True, may_stop=may_stop)
        self.output.text = self._detokenizer.text

    def _is_silent(self, token_id: int) -> bool:
        """A token that ends the output has no text in it."""
        return token_id in self._stop_token_ids and not self._params.include_stop_str_in_output
