"""One completion of a prompt on its way: its text, and how it ends."""

from collections.abc import Sequence

from .detokenizer import Detokenizer
from .outputs import CompletionOutput
from .request import Finished
from .sampling_params import SamplingParams
from .tokenizer import Tokenizer


class Completion:
    """Text is made token by token where someone watches, else once at the end."""

    def __init__(
        self,
        index: int,
        params: SamplingParams,
        tokenizer: Tokenizer | None,
        prompt_token_ids: Sequence[int],
        stop_token_ids: frozenset[int],
    ) -> None:
        self.output = CompletionOutput(index=index, text="", token_ids=[])
        self._params, self._stop_token_ids = params, stop_token_ids
        self._num_pushed = 0
        self._detokenizer: Detokenizer | None = None
        if params.detokenize and tokenizer is not None:
            self._detokenizer = Detokenizer(
                tokenizer,
                prompt_token_ids,
                params.stop_strings,
                params.skip_special_tokens,
                params.include_stop_str_in_output,
            )

    def watch(self, token_id: int) -> bool:
        """Takes the next token as it comes; True if its text completes a stop string."""
        self.output.token_ids.append(token_id)
        if self._detokenizer is None or self._is_silent(token_id):
            return False
        self._detokenizer.push([token_id])
        self._num_pushed += 1
        self.output.text = self._detokenizer.visible_text()
        return self._detokenizer.stop_string is not None

    def finish(self, finished: Finished) -> None:
        """Takes the end as the scheduler saw it; a stop string that was found goes before."""
        output, params = self.output, self._params
        output.token_ids = finished.token_ids
        output.finish_reason = finished.finish_reason
        if finished.stop_token_id in (params.stop_token_ids or ()):
            output.stop_reason = finished.stop_token_id
        if self._detokenizer is None:
            return
        spoken = finished.token_ids[self._num_pushed :]
        if spoken and self._is_silent(spoken[-1]):
            spoken = spoken[:-1]
        self._detokenizer.push(spoken, flush=True)
        output.text = self._detokenizer.text
        if self._detokenizer.stop_string is not None:
            output.finish_reason, output.stop_reason = "stop", self._detokenizer.stop_string

    def _is_silent(self, token_id: int) -> bool:
        """A token that ends the output has no text in it."""
        return token_id in self._stop_token_ids and not self._params.include_stop_str_in_output
