"""A request of the simulation: what it asks, what is due to it, what it has been told."""

from functools import cached_property

import numpy as np

from tapeout.runtime.frame import Sampling
from tapeout.runtime.request import Finished, Progress, Request, StepResult

from .model import Voice, choose, mask_of, noise, penalty, stream
from .trace import Arriving, Cancelling, Config
from .violation import check


class Case:
    """One accepted request until it ends."""

    def __init__(self, spec: Arriving, config: Config, now: float) -> None:
        self.spec, self.config, self.arrived_s = spec, config, now
        parts = [stream(spec.family, spec.shared), stream(spec.own_key, spec.own)]
        first, second = reversed(parts) if spec.own_first else parts
        self.prompt = (*first, *second)[: config.max_model_len - 1] or (1,)
        self.max_tokens = min(spec.max_tokens, config.max_model_len - len(self.prompt))
        self.told: list[int] = []  # tokens seen through progress
        self.scored: list[int] = []  # prompt tokens whose logprobs were seen
        self.num_masks = int(spec.masked and spec.early_mask)  # given
        self.cancel: Cancelling | None = None  # the first one
        self.first_told_s: float | None = None
        self.num_admissions = 0
        self.is_running = False
        self.num_known = 0  # tokens, when it was admitted last
        self.num_cached = 0  # tokens, when it was admitted first

    @property
    def request_id(self) -> str:
        """Its name for the scheduler."""
        return f"r{self.spec.number}"

    @cached_property
    def truth(self) -> list[int]:
        """The output up to `max_tokens`, stop tokens ignored."""
        spec, config = self.spec, self.config
        windows = [config.windows[group] for group in config.layer_groups]
        voice, known = Voice(windows, spec.salt), list(self.prompt)
        for token in self.prompt:
            state = voice.feed(token)
        while True:
            known.append(self._say(state, known))
            if len(known) == len(self.prompt) + self.max_tokens:
                return known[len(self.prompt) :]
            state = voice.feed(known[-1])

    def _say(self, state: int, known: list[int]) -> int:
        spec, place = self.spec, len(known)
        if spec.seed is not None:
            state += noise(spec.seed, place)
        if spec.penalised:
            state += penalty(known, len(self.prompt))
        return choose(state & ((1 << 64) - 1), self._mask(place - len(self.prompt)))

    def _mask(self, num_tokens: int) -> tuple[int, ...] | None:
        if self.spec.masked:
            return mask_of(self.spec.number, num_tokens)
        return mask_of(self.spec.number, -1) if self.spec.fixed_mask else None

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """The tokens that end it."""
        return tuple(self.truth[place % len(self.truth)] for place in self.spec.stop_at)

    @cached_property
    def request(self) -> Request:
        """What the scheduler is told."""
        spec = self.spec
        early = spec.masked and spec.early_mask
        mask = self._mask(0) if early or spec.fixed_mask else None
        sampling = Sampling(
            temperature=0.0 if spec.seed is None else 1.0,
            top_k=spec.number,
            seed=spec.seed or 0,
            frequency_penalty=float(spec.penalised),
            num_prompt_logprobs=1 if spec.prompt_logprobs else None,
            num_logprobs=2 if spec.logprobs else None,
            mask=None if mask is None else as_mask(mask),
        )
        return Request(
            request_id=self.request_id,
            prompt_token_ids=as_tokens(list(self.prompt)),
            max_tokens=spec.max_tokens,
            sampling=sampling,
            stop_token_ids=self.stop_ids,
            min_tokens=spec.min_tokens,
            watched=spec.watched or spec.masked or spec.prompt_logprobs,
            masked=spec.masked,
            priority=spec.priority,
            tenant=spec.tenant,
            cache_salt=b"%d" % spec.salt if spec.salt else b"",
            reads_cache=spec.reads_cache and not spec.prompt_logprobs,
            deadline_s=None if spec.deadline_in is None else self.arrived_s + spec.deadline_in,
        )

    @cached_property
    def due(self) -> tuple[list[int], str]:
        """The whole output and why it ends, if nobody ends it early."""
        truth, spec = self.truth, self.spec
        stops = [
            place
            for place, token in enumerate(truth)
            if token in self.stop_ids and place >= spec.min_tokens
        ]
        output, reason = (truth[: stops[0] + 1], "stop") if stops else (truth, "length")
        if spec.nan_after is not None and spec.nan_after < len(output):
            return output[: spec.nan_after], "numeric_error"
        return output, reason

    @property
    def nan_at(self) -> int | None:
        """The position whose state is not a number."""
        after = self.spec.nan_after
        return None if after is None else len(self.prompt) - 1 + after

    @property
    def rank(self) -> tuple[int, int]:
        """Lower goes first."""
        return (self.spec.priority, self.spec.number)

    @cached_property
    def start(self) -> tuple[int, ...]:
        """Salt and tokens of the first page, which it may share with those who begin alike."""
        known = (*self.prompt, *self.truth)[: self.config.page_size_tokens]
        return (self.spec.salt, *known)

    @property
    def waits_for_mask(self) -> bool:
        """Whether the next token needs a mask that has not been given."""
        return self.spec.masked and self.num_masks <= len(self.told)

    # ---- what happens to it ----

    def admit(self, known: list[int]) -> None:
        """It takes a slot with these tokens."""
        due, name = [*self.prompt, *self.truth], self.request_id
        check(len(known) >= len(self.prompt) + len(self.told), name, "forgot tokens")
        check(known == due[: len(known)], name, "arrives with", known, "and not", due)
        self.num_admissions += 1
        self.is_running = True
        self.num_known = len(known)

    def begin(self, num_cached: int) -> bool:
        """Its first step begins behind cached tokens, if there are any."""
        check(self.request.reads_cache or not num_cached, self.request_id, "reads no cache")
        if self.num_admissions == 1:
            self.num_cached = num_cached
        return num_cached > 0

    def hear(self, progress: Progress, result: StepResult, now: float) -> None:
        """Rows of a step's result."""
        rows = slice(progress.first_row, progress.first_row + progress.num_rows)
        tokens = result.token_ids[rows].tolist()
        check(len(tokens) == progress.num_rows > 0, self.request_id, "got rows that are not there")
        check(self.request.watched, self.request_id, "is not watched")
        if progress.is_prompt:
            self.scored += tokens
            due = list(self.prompt[1 : 1 + len(self.scored)])
            check(self.spec.prompt_logprobs, self.request_id, "wants no logprobs of its prompt")
            check(self.scored == due, self.request_id, "scores", self.scored, "and not", due)
        else:
            check(len(tokens) == 1, self.request_id, "got", tokens, "at once")
            self.told += tokens
            self.first_told_s = now if self.first_told_s is None else self.first_told_s
            due = self.truth[: len(self.told)]
            check(self.told == due, self.request_id, "was told", self.told, "and not", due)

    def end(self, finished: Finished, now: float, had_glitch: bool) -> None:
        """Checks its end."""
        (output, reason), by = self.due, ended_by(finished)
        name, got, why = self.request_id, finished.token_ids, finished.finish_reason
        if by != "result":
            self._end_early(finished, now)
        elif why == "numeric_error" and had_glitch:
            check(got == output[: len(got)], name, "failed after", got, "of", output)
        else:
            check((got, why) == (output, reason), name, got, why, "is not", output, reason)
            stop = got[-1] if why == "stop" else None
            check(finished.stop_token_id == stop, name, "stopped by", finished.stop_token_id)
        if self.request.watched:
            told = self.told[: self.cancel.keep] if self.cancel and by == "event" else self.told
            check(told == got, name, "was told", told, "but ends with", got)
        if self.spec.prompt_logprobs and by == "result" and why != "numeric_error":
            check(self.scored == list(self.prompt[1:]), name, "has unscored tokens of its prompt")
        self._check_records(finished, now)

    def _end_early(self, finished: Finished, now: float) -> None:
        name, got, output = self.request_id, finished.token_ids, self.due[0]
        check(got == output[: len(got)], name, "ends early with", got, "of", output)
        if finished.finish_reason == "timeout":
            deadline = self.request.deadline_s
            check(deadline is not None and deadline <= now, name, "ended before its deadline")
            return
        check(self.cancel is not None, name, "was ended by nobody")
        is_stop, keep = finished.finish_reason == "stop", self.cancel.keep
        check(is_stop == self.cancel.is_stop, name, "ends by", finished.finish_reason)
        check(keep is None or len(got) <= keep, name, "keeps", len(got), "of", keep)

    def _check_records(self, finished: Finished, now: float) -> None:
        name, times, cached = self.request_id, finished.times, finished.num_cached_tokens
        check(times.arrived_s == self.arrived_s, name, "came at", times.arrived_s)
        check(times.finished_s == now, name, "ended at", times.finished_s)
        first = times.first_token_s
        if self.request.watched:
            check(first == self.first_told_s, name, "first spoke at", first, self.first_told_s)
        elif first is not None:
            check(self.arrived_s <= first <= now, name, "first spoke at", first)
        check(first is not None or not finished.token_ids, name, "spoke at no time")
        check(cached == self.num_cached, name, "had cached", self.num_cached, "and not", cached)


def ended_by(finished: Finished) -> str:
    """What ended a request: the clock, an event, or the result of a step."""
    reason = finished.finish_reason
    if reason == "timeout":
        return "clock"
    is_cancelled = reason == "abort" or (reason == "stop" and finished.stop_token_id is None)
    return "event" if is_cancelled else "result"


def as_mask(words: tuple[int, ...]) -> np.ndarray:
    """A mask as the scheduler takes it."""
    return np.array(words, np.uint32).view(np.int32)


def as_tokens(token_ids: list[int]) -> np.ndarray:
    """Token ids as the scheduler takes them."""
    return np.array(token_ids, np.int32)
