"""A request of the simulation: what it asks, what is due to it, what it has been told."""

from functools import cached_property

import numpy as np

from tapeout.runtime.frame import Sampling
from tapeout.runtime.request import Finished, Progress, Request, StepResult

from .model import Voice, choose, mask_of, noise, penalty, stream
from .trace import Arriving, Config
from .violation import check


class Case:
    """One accepted request until it ends."""

    def __init__(self, spec: Arriving, config: Config, now: float) -> None:
        self.spec, self.config, self.arrived_s = spec, config, now
        own = stream(spec.own_key, spec.own)
        room = config.max_model_len - 1
        self.prompt = (*stream(spec.family, spec.shared), *own)[:room] or (1,)
        self.max_tokens = min(spec.max_tokens, config.max_model_len - len(self.prompt))
        self.told: list[int] = []  # tokens seen through progress
        self.scored: list[int] = []  # prompt tokens whose logprobs were seen
        self.num_masks = int(spec.masked and spec.early_mask)  # given
        self.cancel_keeps: int | None = None
        self.is_cancelled = False
        self.num_admissions = 0
        self.is_running = False

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

    # ---- what it is told ----

    def hear(self, progress: Progress, result: StepResult) -> None:
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
            due = self.truth[: len(self.told)]
            check(self.told == due, self.request_id, "was told", self.told, "and not", due)

    def end(self, finished: Finished, now: float, had_glitch: bool) -> None:
        """Checks its end."""
        output, reason = self.due
        name, got, why = self.request_id, finished.token_ids, finished.finish_reason
        if why in ("abort", "timeout"):
            self._end_early(finished, now)
        elif why == "numeric_error" and had_glitch:
            check(got == output[: len(got)], name, "failed after", got, "of", output)
        else:
            check((got, why) == (output, reason), name, got, why, "is not", output, reason)
        if self.request.watched:
            told = self.told[: self.cancel_keeps] if why == "abort" else self.told
            check(told == got, name, "was told", told, "but ends with", got)
        if self.spec.prompt_logprobs and why in ("stop", "length"):
            check(self.scored == list(self.prompt[1:]), name, "has unscored tokens of its prompt")
        stop = got[-1] if why == "stop" else None
        check(finished.stop_token_id == stop, name, "stopped by", finished.stop_token_id, stop)
        self._check_records(finished, now)

    def _end_early(self, finished: Finished, now: float) -> None:
        name, got, output = self.request_id, finished.token_ids, self.due[0]
        check(got == output[: len(got)], name, "ends early with", got, "of", output)
        if finished.finish_reason == "abort":
            check(self.is_cancelled, name, "was ended by nobody")
            limit = self.cancel_keeps
            check(limit is None or len(got) <= limit, name, "keeps", len(got), "of", limit)
        else:
            deadline = self.request.deadline_s
            check(deadline is not None and deadline <= now, name, "ended before its deadline")

    def _check_records(self, finished: Finished, now: float) -> None:
        name, times, cached = self.request_id, finished.times, finished.num_cached_tokens
        check(times.arrived_s == self.arrived_s, name, "came at", times.arrived_s)
        check(times.finished_s == now, name, "ended at", times.finished_s)
        first = times.first_token_s
        has_token = bool(finished.token_ids) or self.is_cancelled
        check(first is None or self.arrived_s <= first <= now, name, "first spoke at", first)
        check(has_token or first is None, name, "first spoke at", first, "but said nothing")
        check(first is not None or not finished.token_ids, name, "spoke at no time")
        size = self.config.page_size_tokens
        check(cached % size == 0 and 0 <= cached < len(self.prompt), name, "had cached", cached)
        check(self.request.reads_cache or not cached, name, "reads no cache")


def as_mask(words: tuple[int, ...]) -> np.ndarray:
    """A mask as the scheduler takes it."""
    return np.array(words, np.uint32).view(np.int32)


def as_tokens(token_ids: list[int]) -> np.ndarray:
    """Token ids as the scheduler takes them."""
    return np.array(token_ids, np.int32)
