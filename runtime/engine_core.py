"""The engine without texts: events go in, reports of steps come out, in the caller's thread.

Steps overlap. While the executor computes one, the next is planned and queued: so the scheduler
runs a step ahead of what was reported, and what it computed behind an early end is dropped.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from ..debug import topic_log
from ..errors import EngineDeadError, QueueFullError, in_words
from .frame import Frame, StepResult
from .grammars.compiler import GrammarCompiler
from .grammars.masks import MaskMaker
from .plan import MAX_STEPS_IN_FLIGHT
from .request import Arrive, Event, Request, StepPlan, StepReport
from .scheduler import Scheduler
from .step_thread import StepError

_GRAMMAR_WAIT_S = 0.02


class StepRunner(Protocol):
    """What the engine wants of an executor."""

    def submit(self, frame: Frame) -> None:
        """Queues a step."""

    def wait(self) -> StepResult:
        """What the oldest step gave; raises what went wrong in it."""

    def close(self) -> None:
        """Gives back all that it holds; may be called again."""


class EngineCore:
    """One scheduler, one executor. Once a step has failed every call raises EngineDeadError."""

    def __init__(
        self,
        runner: StepRunner,
        scheduler: Scheduler,
        grammars: GrammarCompiler,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.runner, self.scheduler, self.clock = runner, scheduler, clock
        self._masks = MaskMaker(grammars)
        self._events: list[Event] = []
        self._num_new = self._num_new_tokens = 0  # of requests among the events
        self._result: StepResult | None = None  # which the scheduler has not seen
        self._num_in_flight = 0
        self._has_planned = False  # whether the last plan had a frame
        self._death: BaseException | None = None  # what went wrong in a step
        self._log_schedule = topic_log("schedule")

    @property
    def is_idle(self) -> bool:
        """Whether a step would change nothing: no request, no event, no result to come."""
        is_busy = self.scheduler.num_unfinished or self._events or self._result
        return self._death is not None or not (is_busy or self._num_in_flight)

    def check_alive(self) -> None:
        """Raises EngineDeadError if a step has failed."""
        if self._death is not None:
            raise EngineDeadError(
                "a step failed, so nothing can be generated any more: "
                f"{_told(self._death)}; load the model anew"
            ) from self._death

    def check_room(self, requests: Sequence[Request]) -> None:
        """Raises QueueFullError if the queue has no room for all of these."""
        num_tokens = _num_tokens(requests)
        refusal = self.scheduler.refusal(
            self._num_new + len(requests), self._num_new_tokens + num_tokens
        )
        if refusal is not None:
            raise QueueFullError(refusal)

    def add(self, requests: Sequence[Request]) -> None:
        """Queues all of these or none; no id of theirs is in use.

        Raises QueueFullError or EngineDeadError.
        """
        self.check_alive()
        self.check_room(requests)
        self._num_new += len(requests)
        self._num_new_tokens += _num_tokens(requests)
        self._events += map(Arrive, requests)
        self._masks.begin(requests)

    def put(self, events: Sequence[Event]) -> None:
        """Takes what else the scheduler is to know; what is of no request that lives is dropped."""
        self._events += events

    def take_result(self) -> None:
        """Waits for the oldest step where the next cannot be planned without what it gave.

        `step` does it too; who calls it first can bring in what has come up meanwhile.
        """
        self.check_alive()
        has_to_wait = self._num_in_flight >= MAX_STEPS_IN_FLIGHT or not self._has_planned
        if self._result is not None or not has_to_wait:
            return
        if self._num_in_flight:
            with self.dying_by_errors():
                self._result = self.runner.wait()
            self._num_in_flight -= 1
        elif not self._events:  # there may be those that wait for their grammar
            self._events += self._masks.begun(_GRAMMAR_WAIT_S)

    def step(self) -> StepReport:
        """Plans and queues a step; gives what the reported one was for whoever watches."""
        self.take_result()
        with self.dying_by_errors():
            result, self._result = self._result, None
            events, self._events = self._events, []
            self._num_new = self._num_new_tokens = 0
            events += self._masks.begun()
            if result is not None:
                events = [result, *events, *self._masks_after(result)]
            plan = self.scheduler.step(self.clock(), events)
            self._masks.forget(finished.request_id for finished in plan.finished)
            self._has_planned = plan.frame is not None
            if plan.frame is not None:
                self.runner.submit(plan.frame)
                self._num_in_flight += 1
            if self._log_schedule:
                self._log_schedule("%s", self._described(plan))
            return StepReport(plan.progress, plan.finished, result)

    def _masks_after(self, result: StepResult) -> Iterator[Event]:
        """What may follow the tokens that masked requests have waited for, while the next step,
        without these requests, is computed."""
        rows = self.scheduler.masked_rows() if self._masks.is_used else ()
        for request_id, row in rows:
            token_id = int(result.token_ids[row])
            if token_id >= 0:  # else the row is broken, which ends the request
                yield self._masks.follow(request_id, token_id)

    @contextmanager
    def dying_by_errors(self) -> Iterator[None]:
        """Half a step done, be it by an interrupt, is no state to go on from.

        What the runner holds is of use to nobody then, and whoever loads the model anew needs it.
        """
        try:
            yield
        except BaseException as error:
            self._death = self._death or error
            self.runner.close()
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


def _told(death: BaseException) -> str:
    """What went wrong in a step, which a StepError has only passed on."""
    cause = death.__cause__ if isinstance(death, StepError) else None
    return in_words(cause or death)


def _num_tokens(requests: Sequence[Request]) -> int:
    return sum(len(request.prompt_token_ids) for request in requests)
