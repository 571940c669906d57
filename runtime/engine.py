"""The engine: requests in, outputs out, one step at a time, in the caller's thread.

A call of `step` runs the step that was planned before it and plans the next: what a request sees
of the loop stays the same when the two overlap.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ..debug import topic_log
from ..errors import InputError
from .completion import Completion
from .frame import I32, Frame, SamplingFrame
from .inputs import TokenizedPrompt
from .outputs import RequestOutput
from .request import Arrive, Cancel, Event, Finished, Request, Sampled
from .sampling_params import SamplingParams
from .scheduler import Scheduler
from .seeds import mix
from .tokenizer import Tokenizer


class StepRunner(Protocol):
    """What the engine wants of an executor."""

    def run(self, frame: Frame, sampling: SamplingFrame) -> I32:
        """Computes a step and gives the token chosen from each row of logits, i32[R]."""


class _Generation:
    """A prompt with its n completions."""

    def __init__(self, output: RequestOutput, completions: list[Completion], stream: bool) -> None:
        self.output, self.completions, self.stream = output, completions, stream
        self.num_unfinished = len(completions)

    def snapshot(self) -> RequestOutput:
        """The output as it is now, not touched by later steps."""
        outputs = [
            msgspec.structs.replace(c.output, token_ids=list(c.output.token_ids))
            for c in self.completions
        ]
        return msgspec.structs.replace(self.output, outputs=outputs)


class Engine:
    """One scheduler, one executor; the tokenizer may be missing."""

    def __init__(
        self,
        runner: StepRunner,
        scheduler: Scheduler,
        tokenizer: Tokenizer | None,
        eos_token_ids: Sequence[int],
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner, self.scheduler, self._tokenizer = runner, scheduler, tokenizer
        self._eos_token_ids = tuple(eos_token_ids)
        self._seed, self._clock = seed, clock
        self._num_seeds = 0
        self._generations: dict[str, _Generation] = {}
        self._events: list[Event] = []
        self._log_schedule, self._log_requests = topic_log("schedule"), topic_log("requests")
        self._plan = scheduler.step(clock(), [])

    @property
    def num_unfinished(self) -> int:
        """Requests whose last output has not been given."""
        return len(self._generations)

    def add_request(
        self, request_id: str, prompt: TokenizedPrompt, params: SamplingParams, stream: bool = False
    ) -> None:
        """Queues a prompt; with `stream` every step that adds to it gives an output."""
        params.check()
        if request_id in self._generations:
            raise InputError(f"request_id={request_id!r} is in use; give each request its own")
        if params.stop_strings and self._tokenizer is None:
            raise InputError(f"stop={params.stop!r} needs a tokenizer; use stop_token_ids")
        stop_token_ids = self._stop_token_ids(params)
        token_ids = prompt.token_ids.tolist()
        completions = [
            Completion(index, params, self._tokenizer, token_ids, frozenset(stop_token_ids))
            for index in range(params.n)
        ]
        outputs = [completion.output for completion in completions]
        output = RequestOutput(request_id, prompt.text, token_ids, outputs, finished=False)
        self._generations[request_id] = _Generation(output, completions, stream)
        if self._log_requests:
            self._log_requests("%s arrives, %d tokens of prompt", request_id, len(token_ids))
        watched = stream or bool(params.stop_strings)
        for index, seed in enumerate(self._seeds(params)):
            request = Request(
                request_id=_child_id(request_id, index),
                prompt_token_ids=prompt.token_ids,
                max_tokens=params.max_tokens or self.scheduler.table.max_model_len,
                temperature=params.effective_temperature,
                seed=seed,
                stop_token_ids=stop_token_ids,
                watched=watched,
            )
            self._events.append(Arrive(request))

    def abort(self, request_id: str) -> None:
        """Ends a request with finish_reason "abort"; one that has ended is passed over."""
        generation = self._generations.get(request_id)
        for index in range(len(generation.completions) if generation else 0):
            self._events.append(Cancel(_child_id(request_id, index), "abort"))

    def step(self) -> list[RequestOutput]:
        """Runs one step. Gives what ended, and for streams what was added."""
        changed: dict[str, RequestOutput] = {}
        if self._plan.frame is not None and self._plan.sampling is not None:
            token_ids = self._runner.run(self._plan.frame, self._plan.sampling)
            self._events = [Sampled(token_ids), *self._watch(token_ids, changed), *self._events]
        events, self._events = self._events, []
        self._plan = self.scheduler.step(self._clock(), events)
        if self._log_schedule:
            self._log_schedule("%s", self._described())
        for finished in self._plan.finished:
            self._finish(finished, changed)
        return list(changed.values())

    def _watch(self, token_ids: I32, changed: dict[str, RequestOutput]) -> list[Event]:
        """Shows watched requests their tokens; ends those that reach a stop string."""
        stops: list[Event] = []
        for row, child_id in self._plan.watched:
            if token_ids[row] < 0:
                continue
            request_id, index = _parent_of(child_id)
            generation = self._generations[request_id]
            if generation.completions[index].watch(int(token_ids[row])):
                stops.append(Cancel(child_id, "stop"))
            if generation.stream:
                changed[request_id] = generation.snapshot()
        return stops

    def _finish(self, finished: Finished, changed: dict[str, RequestOutput]) -> None:
        request_id, index = _parent_of(finished.request_id)
        generation = self._generations[request_id]
        generation.completions[index].finish(finished)
        generation.num_unfinished -= 1
        if self._log_requests:
            count, reason = len(finished.token_ids), finished.finish_reason
            self._log_requests("%s ends after %d tokens: %s", finished.request_id, count, reason)
        generation.output.metrics = finished.times
        if generation.num_unfinished == 0:
            generation.output.finished = True
            del self._generations[request_id]
        if generation.num_unfinished == 0 or generation.stream:
            changed[request_id] = generation.snapshot()

    def _described(self) -> str:
        """The step that comes next, on one line."""
        frame, scheduler = self._plan.frame, self.scheduler
        dims = "idle" if frame is None else "T={} S={} R={} P={}".format(*frame.dims)
        return (
            f"{dims}, {len(scheduler.waiting)} waiting, {scheduler.num_preemptions} preempted, "
            f"free pages {list(scheduler.cache.num_free_pages())}"
        )

    def _stop_token_ids(self, params: SamplingParams) -> tuple[int, ...]:
        eos = () if params.ignore_eos else self._eos_token_ids
        return tuple(dict.fromkeys([*(params.stop_token_ids or ()), *eos]))

    def _seeds(self, params: SamplingParams) -> list[int]:
        """One for each completion; the first has the seed that was given, if one was."""
        seed = params.seed
        if seed is None or seed == -1:  # vLLM's -1 means none
            seed = mix(self._seed, self._num_seeds)
            self._num_seeds += 1
        return [seed, *(mix(seed, index) for index in range(1, params.n))]


def _child_id(request_id: str, index: int) -> str:
    return f"{request_id}/{index}"


def _parent_of(child_id: str) -> tuple[str, int]:
    request_id, _, index = child_id.rpartition("/")
    return request_id, int(index)
