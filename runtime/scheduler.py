"""Decides what the next step computes: a pure state machine, with no clock, thread or chance.

Continuous batching: sequences that decode and chunks of prompts share one step under a token
budget. A step is planned while others are in flight: what those sample is not known here yet, but
where it will be. When pages run out, the sequence of the worst rank gives its own back and is
computed again later, so the best ranked always gets on.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from ..kvcache.cache import PagedCache
from ..kvcache.hashing import page_hashes
from .admission import Admission
from .deadlines import Deadlines
from .flight import Flight, launch, progress_of
from .frame import I32, Arrival, Frame, StepResult
from .grants import Budget, Grant, longest_first
from .request import (
    Arrive,
    Cancel,
    Event,
    Finished,
    FinishReason,
    Mask,
    Progress,
    Request,
    StepPlan,
    StepsLost,
)
from .sequences import Sequences
from .slots import times_of
from .waiting import Tenants, Waiting, WaitingQueue


class Scheduler:
    """`step` takes what has happened since the last plan and gives the next.

    The caller runs the plans that have a frame in their order and reports each by its StepResult,
    at most one in a call. It may ask for further plans before it reports.
    """

    def __init__(
        self,
        cache: PagedCache,
        max_num_seqs: int,
        max_model_len: int,
        max_num_batched_tokens: int,
        max_logit_rows: int | None = None,
        max_num_waiting: int | None = None,
        max_waiting_tokens: int | None = None,
    ) -> None:
        assert max_num_batched_tokens >= max_num_seqs, "each decoding sequence gets its token"
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_logit_rows = max_logit_rows or max_num_seqs
        assert self.max_logit_rows >= max_num_seqs, "each sequence of a step has a row"
        self.max_num_waiting, self.max_waiting_tokens = max_num_waiting, max_waiting_tokens
        self.cache = cache
        self.sequences = Sequences(cache, max_num_seqs, max_model_len)
        self.tenants = Tenants()
        self.waiting = WaitingQueue(self.tenants)
        self._admission = Admission(self.sequences, self.waiting, self.tenants)
        self.num_preemptions = 0
        self._deadlines = Deadlines()
        self._flights: deque[Flight] = deque()
        self._new_masks: dict[int, I32] = {}  # by slot, for the next frame
        self._num_arrivals = self._num_steps = 0

    @property
    def num_unfinished(self) -> int:
        """Requests that have arrived and not ended."""
        return len(self.sequences.running) + len(self.waiting)

    @property
    def num_in_flight(self) -> int:
        """Steps that were planned and have not reported."""
        return len(self._flights)

    def refusal(self, num_requests: int, num_tokens: int) -> str | None:
        """Why the queue has no room for this many more, if it has none."""
        waiting = self.waiting
        for name, count, limit in (
            ("max_num_waiting", len(waiting) + num_requests, self.max_num_waiting),
            ("max_waiting_tokens", waiting.num_tokens + num_tokens, self.max_waiting_tokens),
        ):
            if limit is not None and count > limit:
                return f"the queue would hold {count}, more than {name}={limit}; try again later"
        return None

    def step(self, now: float, events: Sequence[Event]) -> StepPlan:
        """The next plan. `now` is in the caller's seconds and never falls."""
        finished: list[Finished] = []
        progress: tuple[Progress, ...] = ()
        self.sequences.name_started()
        for event in events:
            match event:
                case StepResult():
                    assert not progress, "one result a call"
                    progress = self._land(event, now, finished)
                case Arrive():
                    self._enqueue(event.request, now)
                case Cancel():
                    self._cancel(event.request_id, event.finish_reason, now, finished, event)
                case Mask():
                    self._set_mask(event)
                case StepsLost():
                    self._lose_steps()
        for request_id in self._deadlines.passed(now, self._deadline_of):
            self._cancel(request_id, "timeout", now, finished)
        return StepPlan(self._plan(), progress, tuple(finished))

    def masked_rows(self) -> list[tuple[str, int]]:
        """Rows of the oldest step in flight whose tokens are waited for, with the request of each.

        A masked request is computed again only with the mask for what follows its token.
        """
        rows, table = self._flights[0].rows, self.sequences.table
        waits = rows.chooses & table.is_masked[rows.slots] & table.is_alive[rows.slots]
        return [(table.request_id(int(rows.slots[i])), i) for i in np.flatnonzero(waits).tolist()]

    # ---- what has happened ----

    def _land(
        self, result: StepResult, now: float, finished: list[Finished]
    ) -> tuple[Progress, ...]:
        """Takes a step's tokens in; rows of sequences that have ended meanwhile are dropped."""
        flight, table = self._flights.popleft(), self.sequences.table
        rows, token_ids = flight.rows, result.token_ids
        assert result.step_id == flight.step_id, f"{result.step_id} came for {flight.step_id}"
        assert len(token_ids) == len(rows.slots), f"{len(token_ids)} tokens, {len(rows.slots)} rows"
        self.sequences.settle(flight.step_id)
        broken = rows.slots[(token_ids < 0) & table.is_alive[rows.slots]]
        for slot in dict.fromkeys(broken.tolist()):
            finished.append(self._finish(slot, "numeric_error", now))
        progress = progress_of(table, rows)
        self.sequences.prove(flight)
        lives = rows.chooses & table.is_alive[rows.slots]
        slots, token_ids = rows.slots[lives], token_ids[lives]
        for i in table.append(slots, token_ids, now).nonzero()[0].tolist():
            slot, token_id = int(slots[i]), int(token_ids[i])
            stops = table.is_stop(slot, token_id)
            reason: FinishReason = "stop" if stops else "length"
            finished.append(self._finish(slot, reason, now, token_id if stops else None))
        return progress

    def _enqueue(self, request: Request, now: float) -> None:
        assert self._entry(request.request_id) is None, f"{request.request_id} is in use"
        prompt, mask = request.prompt_token_ids, request.sampling.mask
        salt, size = request.cache_salt, self.cache.page_size_tokens
        first = [] if salt is None else page_hashes(prompt[:size], size, salt)
        entry = Waiting(request, self._num_arrivals, now, prompt, first)
        if request.masked and mask is not None:
            entry.mask, entry.mask_at = mask, len(prompt)
        self._num_arrivals += 1
        self.tenants.enter(request.tenant)
        self.waiting.push(entry)
        if request.deadline_s is not None:
            self._deadlines.add(request.deadline_s, request.request_id, self._deadline_of)

    def _cancel(
        self,
        request_id: str,
        reason: FinishReason,
        now: float,
        finished: list[Finished],
        event: Cancel | None = None,
    ) -> None:
        slot = self.sequences.slot_of.get(request_id)
        num_tokens = event.num_tokens if event else None
        if slot is not None:
            finished.append(self._finish(slot, reason, now, num_tokens=num_tokens))
        elif request_id in self.waiting:
            entry = self.waiting.remove(request_id)
            self.tenants.leave(entry.request.tenant)
            output = entry.token_ids[len(entry.request.prompt_token_ids) :].tolist()
            times = times_of(entry.arrived_s, entry.first_token_s, now)
            finished.append(
                Finished(request_id, output[:num_tokens], reason, None, times, entry.num_cached)
            )

    def _finish(
        self,
        slot: int,
        reason: FinishReason,
        now: float,
        stop_token_id: int | None = None,
        num_tokens: int | None = None,
    ) -> Finished:
        """Ends a running request; `num_tokens` of its output are kept."""
        table = self.sequences.table
        output, times = table.output_of(slot)[:num_tokens], table.times(slot, now)
        entry = self._take_slot(slot, is_finite=reason != "numeric_error")
        self.tenants.leave(entry.request.tenant)
        request_id = entry.request.request_id
        return Finished(request_id, output, reason, stop_token_id, times, entry.num_cached)

    def _set_mask(self, event: Mask) -> None:
        slot, table = self.sequences.slot_of.get(event.request_id), self.sequences.table
        entry = self._entry(event.request_id)
        if entry is None:
            return
        position = len(entry.request.prompt_token_ids) + event.num_tokens
        num_known = len(entry.token_ids) if slot is None else table.num_known[slot]
        if position != num_known:
            return
        entry.mask, entry.mask_at = event.mask, position
        if slot is not None:
            table.mask_at[slot] = position
            self._new_masks[slot] = event.mask

    def _lose_steps(self) -> None:
        """Every running sequence waits again, the oldest first; nothing cached is believed."""
        self._flights.clear()
        self.sequences.settle(self._num_steps)
        for slot in self.sequences.running.tolist()[::-1]:
            self._preempt(slot)
        self.cache.clear()

    def _deadline_of(self, request_id: str) -> float | None:
        entry = self._entry(request_id)
        return entry.request.deadline_s if entry else None

    def _entry(self, request_id: str) -> Waiting | None:
        """An unfinished request, wherever it is."""
        slot = self.sequences.slot_of.get(request_id)
        return self.waiting.get(request_id) if slot is None else self.sequences.table.entry(slot)

    # ---- what comes next ----

    def _plan(self) -> Frame | None:
        budget = Budget(self.max_num_batched_tokens, self.max_logit_rows)
        grant, has_pages = self._grant_running(budget)
        arrivals: tuple[Arrival, ...] = ()
        if has_pages and len(self.waiting):
            grant, arrivals = self._admission.admit(budget, grant)
        if len(grant[0]) == 0:
            return None
        slots, granted = grant = longest_first(self.sequences.table, grant)
        self.tenants.charge(self.sequences.table.tenant[slots], granted)
        masks, self._new_masks = self._new_masks, {}
        step_id, self._num_steps = self._num_steps, self._num_steps + 1
        flight, frame = launch(self.sequences.table, self.cache, step_id, grant, arrivals, masks)
        self._flights.append(flight)
        return frame

    def _grant_running(self, budget: Budget) -> tuple[Grant, bool]:
        """Tokens, and pages for them, for running sequences; False where pages ran short."""
        table, cache, has_pages = self.sequences.table, self.cache, True
        slots, granted = budget.share(table, self.sequences.running)
        while len(slots):
            ends = table.num_computed[slots] + granted
            if cache.reserve(slots, ends):
                break
            has_pages = False
            victim = self._victim()
            if victim is None or (self._flights and cache.can_wait_for(slots, ends)):
                assert self._flights, "one sequence alone always fits: the plan has seen to it"
                keeps = table.rank[slots] != table.rank[slots].max()  # its turn comes
            else:
                keeps = slots != self._preempt(victim)
            slots, granted = slots[keeps], granted[keeps]
        return (slots, granted), has_pages

    def _victim(self) -> int | None:
        """The worst ranked sequence; None if the steps in flight end all others but one."""
        table, running = self.sequences.table, self.sequences.running
        goes_on = running[table.num_tokens[running] < table.max_num_tokens[running]]
        return int(goes_on[-1]) if len(goes_on) > 1 else None

    def _preempt(self, slot: int) -> int:
        """Takes a sequence's pages and slot away; it waits before all others of its priority."""
        table = self.sequences.table
        token_ids, first_token_s = table.known_of(slot).copy(), float(table.first_token_s[slot])
        num_unscored = int(table.num_unscored[slot])
        entry = self._take_slot(slot)
        entry.token_ids, entry.first_token_s = token_ids, first_token_s
        entry.num_scored = len(entry.request.prompt_token_ids) - 1 - num_unscored
        entry.was_preempted = True
        self.waiting.push(entry)
        self.num_preemptions += 1
        return slot

    def _take_slot(self, slot: int, is_finite: bool = True) -> Waiting:
        self._new_masks.pop(slot, None)
        last_step_id = self._flights[-1].step_id if self._flights else None
        return self.sequences.end(slot, last_step_id, is_finite)
