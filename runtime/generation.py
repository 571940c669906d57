"""A prompt with its n completions on their way to one caller."""

from collections.abc import Iterable, Sequence

import msgspec

from .completion import Completion
from .detokenizer import CONTEXT_TOKENS
from .frame import StepResult
from .inputs import TokenizedPrompt
from .logprobs import LogprobsOfToken, logprobs_of_row
from .outputs import RequestOutput
from .request import Cancel, Finished, Progress, Request, Times
from .sampling_params import RequestOutputKind, SamplingParams
from .tokenizer import Tokenizer


class Generation:
    """What was asked for, as records for the scheduler, and what has come of it."""

    def __init__(
        self,
        request_id: str,
        prompt: TokenizedPrompt,
        params: SamplingParams,
        requests: Sequence[Request],
        tokenizer: Tokenizer | None,
        timeout_s: float | None = None,
    ) -> None:
        self.request_id, self.params, self.timeout_s = request_id, params, timeout_s
        self.requests = list(requests)  # one for each completion
        context = prompt.token_ids[-CONTEXT_TOKENS:].tolist()
        self.completions = [
            Completion(index, params, tokenizer, context, request.stop_token_ids)
            for index, request in enumerate(requests)
        ]
        self._prompt_token_ids = prompt.token_ids
        self._output = RequestOutput(request_id, prompt.text, [], [], finished=False)
        if params.prompt_logprobs is not None:
            self._output.prompt_logprobs = [None]
        self._tokenizer = tokenizer if params.detokenize else None
        self._prompt_logprobs_are_sent = False

    def start(self, seeds: Sequence[int], now_s: float) -> list[Request]:
        """The records with what is known only when they are queued."""
        deadline_s = None if self.timeout_s is None else now_s + self.timeout_s
        replace = msgspec.structs.replace
        return [
            replace(r, sampling=replace(r.sampling, seed=seed), deadline_s=deadline_s)
            for r, seed in zip(self.requests, seeds, strict=True)
        ]

    def prepare(self) -> None:
        """Makes what is long and not needed before there is something to tell."""
        self._output.prompt_token_ids = self._prompt_token_ids.tolist()

    @property
    def is_finished(self) -> bool:
        """Whether every completion has ended."""
        return all(completion.output.finished() for completion in self.completions)

    def push(self, index: int, progress: Progress, result: StepResult) -> Cancel | None:
        """Gives a completion the rows that are its own; says so if it has to end by them."""
        completion = self.completions[index]
        rows = range(progress.first_row, progress.first_row + progress.num_rows)
        if progress.is_prompt:
            ends = self._add_prompt_logprobs(completion, rows, result)
        else:
            token_ids = result.token_ids
            ends = any(completion.push(int(token_ids[row]), result.logprobs, row) for row in rows)
        reason = completion.own_end if ends else None
        if reason is None:
            return None
        return Cancel(progress.request_id, reason, len(completion.output.token_ids))

    def finish(self, index: int, finished: Finished) -> None:
        """Takes the end of one completion."""
        self.completions[index].finish(finished)
        output, cached = self._output, finished.num_cached_tokens
        output.metrics = _joined(output.metrics, finished.times)
        earlier = output.num_cached_tokens
        output.num_cached_tokens = cached if earlier is None else min(earlier, cached)
        output.finished = self.is_finished

    def report(self) -> RequestOutput | None:
        """What the caller is to be told now; None if nothing."""
        kind, interval = self.params.output_kind, self.params.stream_interval or 1
        if not self._output.finished:
            if kind is RequestOutputKind.FINAL_ONLY:
                return None
            if not any(completion.is_due(interval) for completion in self.completions):
                return None
        if kind is not RequestOutputKind.DELTA:
            outputs = [completion.snapshot() for completion in self.completions]
            return msgspec.structs.replace(self._output, outputs=outputs)
        outputs = [c.delta() for c in self.completions if c.is_due(1)]
        prompt_logprobs = self._unsent_prompt_logprobs()
        return msgspec.structs.replace(
            self._output, outputs=outputs, prompt_logprobs=prompt_logprobs
        )

    def _add_prompt_logprobs(
        self, completion: Completion, rows: Iterable[int], result: StepResult
    ) -> bool:
        """Takes rows of the prompt, which come in its order; True if they end the completion."""
        entries = self._output.prompt_logprobs
        assert entries is not None and result.logprobs is not None, "rows nobody asked for"
        if completion.own_end is not None:
            return False
        count = self.params.prompt_logprobs or 0
        try:
            for row in rows:
                token_id = int(result.token_ids[row])
                told = logprobs_of_row(result.logprobs, row, token_id, count, self._text_of)
                entries.append(told)
        except Exception as error:
            completion.fail(error)
        return completion.own_end is not None

    def _unsent_prompt_logprobs(self) -> list[LogprobsOfToken | None] | None:
        """All of them, once: with the first delta behind the whole prompt."""
        entries = self._output.prompt_logprobs
        is_whole = entries is not None and len(entries) == len(self._output.prompt_token_ids)
        if self._prompt_logprobs_are_sent or not is_whole:
            return None
        self._prompt_logprobs_are_sent = True
        return entries

    def _text_of(self, token_id: int) -> str | None:
        return None if self._tokenizer is None else self._tokenizer.token_text(token_id)


def _joined(earlier: Times | None, times: Times) -> Times:
    """From the first arrival and the first token of any to the end of the last."""
    if earlier is None:
        return times
    firsts = [t.first_token_s for t in (earlier, times) if t.first_token_s is not None]
    return Times(
        min(earlier.arrived_s, times.arrived_s),
        min(firsts, default=None),
        max(earlier.finished_s, times.finished_s),
    )
