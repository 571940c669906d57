"""The engine: requests in, outputs out, one step at a time, in the caller's thread.

Steps overlap. While the executor computes one, the next is planned and queued, and the text of the
one before is made: so the scheduler runs a step ahead of what was said, and what it computed
behind a stop string is dropped.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Protocol

from ..debug import topic_log
from ..errors import EngineDeadError, InputError, QueueFullError, shown
from .frame import Frame, StepResult
from .generation import Generation
from .outputs import RequestOutput
from .plan import MAX_STEPS_IN_FLIGHT
from .request import Arrive, Cancel, Event, Finished, StepPlan
from .scheduler import Scheduler
from .seeds import mix


class StepRunner(Protocol):
    """What the engine wants of an executor."""

    def submit(self, frame: Frame) -> None:
        """Queues a step."""

    def wait(self) -> StepResult:
        """What the oldest step gave; raises what went wrong in it."""


class Engine:
    """One scheduler, one executor. Once a step has failed every call raises EngineDeadError."""

    def __init__(
        self,
        runner: StepRunner,
        scheduler: Scheduler,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner, self.scheduler, self._seed, self._clock = runner, scheduler, seed, clock
        self._seed_ids = count()
        self._generations: dict[str, Generation] = {}
        self._children: dict[str, tuple[Generation, int]] = {}  # by the scheduler's request ids
        self._events: list[Event] = []
        self._num_new = self._num_new_tokens = 0  # of requests among the events
        self._result: StepResult | None = None  # which the scheduler has not seen
        self._num_in_flight = 0
        self._has_planned = False  # whether the last plan had a frame
        self._death: BaseException | None = None  # what went wrong in a step
        self._log_schedule, self._log_requests = topic_log("schedule"), topic_log("requests")

    @property
    def num_unfinished(self) -> int:
        """Requests whose last output has not been given."""
        return len(self._generations)

    @property
    def is_idle(self) -> bool:
        """Whether a step would change nothing: no request, no event, no result to come."""
        is_busy = self._generations or self._events or self._result or self._num_in_flight
        return self._death is not None or not is_busy

    def check_alive(self) -> None:
        """Raises EngineDeadError if a step has failed."""
        if self._death is not None:
            raise EngineDeadError(
                "a step failed, so nothing can be generated any more: "
                f"{shown(repr(self._death))}; load the model anew"
            ) from self._death

    def check_room(self, generations: Sequence[Generation]) -> None:
        """Raises QueueFullError if the queue has no room for all of these."""
        num_requests, num_tokens = _size(generations)
        refusal = self.scheduler.refusal(
            self._num_new + num_requests, self._num_new_tokens + num_tokens
        )
        if refusal is not None:
            raise QueueFullError(refusal)

    def add(self, generations: Sequence[Generation]) -> None:
        """Queues all of these or none.

        Raises InputError for a request id that is in use, QueueFullError, or EngineDeadError.
        """
        self.check_alive()
        self._check_ids(generations)
        self.check_room(generations)
        now_s, (num_requests, num_tokens) = self._clock(), _size(generations)
        self._num_new += num_requests
        self._num_new_tokens += num_tokens
        for generation in generations:
            self._generations[generation.request_id] = generation
            for index, request in enumerate(generation.start(self._seeds(generation), now_s)):
                self._children[request.request_id] = generation, index
                self._events.append(Arrive(request))
            if self._log_requests:
                num_tokens = len(generation.requests[0].prompt_token_ids)
                self._log_requests(
                    "%s arrives, %d tokens of prompt", generation.request_id, num_tokens
                )

    def abort(self, request_id: str) -> None:
        """Ends a request with finish_reason "abort"; one that has ended is passed over."""
        generation = self._generations.get(request_id)
        for request in generation.requests if generation else ():
            self._events.append(Cancel(request.request_id, "abort"))

    def take_result(self) -> None:
        """Waits for the oldest step where the next cannot be planned without what it gave.

        `step` does it too; who calls it first can bring in what has come up meanwhile.
        """
        self.check_alive()
        has_to_wait = self._num_in_flight >= MAX_STEPS_IN_FLIGHT or not self._has_planned
        if self._result is None and self._num_in_flight and has_to_wait:
            with self._dying_by_errors():
                self._result = self._runner.wait()
            self._num_in_flight -= 1

    def step(self) -> list[RequestOutput]:
        """Plans and queues a step. Gives what the reported one ended, and added to streams."""
        self.take_result()
        with self._dying_by_errors():
            result, self._result = self._result, None
            events, self._events = self._events, []
            self._num_new = self._num_new_tokens = 0
            plan = self.scheduler.step(self._clock(), [result, *events] if result else events)
            self._has_planned = plan.frame is not None
            if plan.frame is not None:
                self._runner.submit(plan.frame)
                self._num_in_flight += 1
            return self._report(plan, result)

    def _report(self, plan: StepPlan, result: StepResult | None) -> list[RequestOutput]:
        if self._log_schedule:
            self._log_schedule("%s", self._described(plan))
        touched: dict[str, Generation] = {}
        for progress in plan.progress:
            generation, index = self._children[progress.request_id]
            touched[generation.request_id] = generation
            assert result is not None, "progress is of a result"
            cancel = generation.push(index, progress, result)
            if cancel is not None:
                self._events.append(cancel)
        for finished in plan.finished:
            generation = self._finish(finished)
            touched[generation.request_id] = generation
        reports = [generation.report() for generation in touched.values()]
        return [output for output in reports if output is not None]

    def _finish(self, finished: Finished) -> Generation:
        generation, index = self._children.pop(finished.request_id)
        generation.finish(index, finished)
        if self._log_requests:
            num_tokens, reason = len(finished.token_ids), finished.finish_reason
            self._log_requests(
                "%s ends after %d tokens: %s", finished.request_id, num_tokens, reason
            )
        if generation.is_finished:
            del self._generations[generation.request_id]
        return generation

    def _check_ids(self, generations: Sequence[Generation]) -> None:
        seen: set[str] = set()
        for request_id in (generation.request_id for generation in generations):
            if request_id in self._generations or request_id in seen:
                raise InputError(
                    f"request_id={shown(request_id)} is in use; give each request its own"
                )
            seen.add(request_id)

    def _seeds(self, generation: Generation) -> list[int]:
        """One for each completion; the first has the seed that was given, if one was."""
        seed = generation.params.seed
        if seed is None or seed == -1:  # vLLM's -1 means none
            seed = mix(self._seed, next(self._seed_ids))
        return [seed, *(mix(seed, index) for index in range(1, generation.params.n))]

    @contextmanager
    def _dying_by_errors(self) -> Iterator[None]:
        """Half a step done, be it by an interrupt, is no state to go on from."""
        try:
            yield
        except BaseException as error:
            self._death = error
            self._generations.clear()
            self._children.clear()
            if isinstance(error, Exception):
                self.check_alive()
            raise

    def _described(self, plan: StepPlan) -> str:
        """The step that comes next, on one line."""
        frame, scheduler = plan.frame, self.scheduler
        dims = "idle" if frame is None else "T={} S={} R={} P={}".format(*frame.dims)
        return (
            f"{dims}, {len(scheduler.waiting)} waiting, {scheduler.num_preemptions} preempted, "
            f"free pages {list(scheduler.cache.num_free_pages())}"
        )


def _size(generations: Sequence[Generation]) -> tuple[int, int]:
    """Sequences, and the tokens of their prompts."""
    lengths = [len(r.prompt_token_ids) for g in generations for r in g.requests]
    return len(lengths), sum(lengths)
