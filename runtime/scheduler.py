"""Decides what the next step computes: a pure state machine, with no clock, thread or chance.

Continuous batching: sequences that decode and chunks of prompts share one step under a token
budget. First come, first served; when pages run out, the youngest sequence gives its own back and
is computed again later, so the oldest always gets on.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from ..kvcache.cache import PagedCache
from ..kvcache.group_table import Slots
from .frame import I32, I64
from .packing import pack_step
from .request import (
    Arrive,
    Cancel,
    Event,
    Finished,
    FinishReason,
    Request,
    Sampled,
    StepPlan,
    Times,
)
from .slots import SlotTable

_NO_SLOTS: Slots = np.zeros(0, np.intp)


class _Waiting:
    """A request with no slot: new, or preempted with what it had generated."""

    def __init__(self, request: Request, token_ids: I32, times: tuple[float, float]) -> None:
        self.request, self.token_ids, self.times = request, token_ids, times


class Scheduler:
    """One sequence a slot; requests in `running` order are in the order of arrival."""

    def __init__(
        self, cache: PagedCache, max_num_seqs: int, max_model_len: int, max_num_batched_tokens: int
    ) -> None:
        assert max_num_batched_tokens >= max_num_seqs, "each decoding sequence gets its token"
        self.cache = cache
        self.max_num_batched_tokens = max_num_batched_tokens
        self.table = SlotTable(max_num_seqs, max_model_len)
        self.running: Slots = _NO_SLOTS
        self.waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self.num_preemptions = 0
        self._slot_of: dict[str, int] = {}
        self._sampled_slots: Slots = _NO_SLOTS

    @property
    def num_unfinished(self) -> int:
        """Requests that have arrived and not ended."""
        return len(self.running) + len(self.waiting)

    def step(self, now: float, events: Sequence[Event]) -> StepPlan:
        """Takes what has happened since the last plan and gives the next.

        The caller runs each plan that has a frame and reports it by a `Sampled` in the next call.
        """
        finished: list[Finished] = []
        for event in events:
            match event:
                case Sampled():
                    finished += self._accept(event.token_ids, now)
                case Arrive():
                    self._enqueue(event.request, now)
                case Cancel():
                    finished += self._cancel(event, now)
        slots, granted = self._grant_running()
        slots, granted = self._admit(slots, granted)
        return self._plan(slots, granted, tuple(finished))

    def _plan(self, slots: Slots, granted: I64, finished: tuple[Finished, ...]) -> StepPlan:
        if len(slots) == 0:
            self._sampled_slots = _NO_SLOTS
            return StepPlan(None, None, _NO_SLOTS, (), finished)
        frame, sampling, sampled_slots = pack_step(self.table, self.cache, slots, granted)
        self.table.num_computed[slots] += granted
        self._sampled_slots = sampled_slots
        return StepPlan(frame, sampling, sampled_slots, self._watched(sampled_slots), finished)

    def _watched(self, slots: Slots) -> tuple[tuple[int, str], ...]:
        rows = np.flatnonzero(self.table.watched[slots]).tolist()
        return tuple((row, self._request(int(slots[row])).request_id) for row in rows)

    # ---- what has happened ----

    def _enqueue(self, request: Request, now: float) -> None:
        assert request.request_id not in self._slot_of, f"{request.request_id} is running"
        assert request.request_id not in self.waiting, f"{request.request_id} is waiting"
        times = (now, float("nan"))
        self.waiting[request.request_id] = _Waiting(request, request.prompt_token_ids, times)

    def _accept(self, token_ids: I32, now: float) -> list[Finished]:
        slots = self._sampled_slots
        assert len(token_ids) == len(slots), f"{len(token_ids)} tokens for {len(slots)} rows"
        self._sampled_slots = _NO_SLOTS
        ends = np.flatnonzero(self.table.append(slots, token_ids, now)).tolist()
        return [self._end(int(slots[row]), int(token_ids[row]), now) for row in ends]

    def _end(self, slot: int, token_id: int, now: float) -> Finished:
        """Ends a sequence by its last token."""
        if token_id < 0:
            self.table.num_tokens[slot] -= 1  # it is no token
            return self._finish(slot, "numeric_error", None, now)
        if token_id in self._request(slot).stop_token_ids:
            return self._finish(slot, "stop", token_id, now)
        return self._finish(slot, "length", None, now)

    def _cancel(self, event: Cancel, now: float) -> list[Finished]:
        slot = self._slot_of.get(event.request_id)
        if slot is not None:
            return [self._finish(slot, event.finish_reason, None, now)]
        entry = self.waiting.pop(event.request_id, None)
        if entry is None:
            return []
        output = entry.token_ids[len(entry.request.prompt_token_ids) :].tolist()
        times = _times(*entry.times, now)
        return [Finished(event.request_id, output, event.finish_reason, None, times)]

    def _finish(
        self, slot: int, reason: FinishReason, stop_token_id: int | None, now: float
    ) -> Finished:
        output, times = self.table.output_of(slot), _times(*self._times_of(slot), now)
        request = self._remove(slot)
        return Finished(request.request_id, output, reason, stop_token_id, times)

    # ---- what comes next ----

    def _grant_running(self) -> tuple[Slots, I64]:
        """The running slots that get tokens in this step, how many, and pages for them."""
        while len(self.running):
            slots, granted = self._share_budget()
            if self.cache.reserve(slots, self.table.num_computed[slots] + granted):
                return slots, granted
            self._preempt(int(self.running[-1]))
        return _NO_SLOTS, np.zeros(0, np.int64)

    def _share_budget(self) -> tuple[Slots, I64]:
        """Sequences that decode come first, then prompts in the order of arrival."""
        slots, remaining = self.running, self.table.remaining(self.running)
        if int(remaining.max()) == 1:
            return slots, remaining
        order = np.argsort(remaining > 1, kind="stable")
        slots, remaining = slots[order], remaining[order]
        before = np.cumsum(remaining) - remaining
        granted = np.clip(self.max_num_batched_tokens - before, 0, remaining)
        return slots[granted > 0], granted[granted > 0]

    def _admit(self, slots: Slots, granted: I64) -> tuple[Slots, I64]:
        """Adds waiting requests, in order, while there are slots, budget and pages."""
        budget = self.max_num_batched_tokens - int(granted.sum())
        added: list[tuple[int, int]] = []
        while self.waiting and self.table.num_free and budget > 0:
            entry = next(iter(self.waiting.values()))
            if not self.cache.has_room_for(len(entry.token_ids)):
                break
            del self.waiting[entry.request.request_id]
            count = min(len(entry.token_ids), budget)
            added.append((self._start(entry, count), count))
            budget -= count
        if not added:
            return slots, granted
        new_slots, new_granted = np.array(added, np.int64).T
        self.running = np.concatenate([self.running, new_slots])
        return np.concatenate([slots, new_slots]), np.concatenate([granted, new_granted])

    def _start(self, entry: _Waiting, num_tokens: int) -> int:
        slot = self.table.occupy(entry.request, entry.token_ids, entry.times)
        self._slot_of[entry.request.request_id] = slot
        has_pages = self.cache.reserve(np.array([slot]), np.array([num_tokens]))
        assert has_pages, "there was room for the whole sequence"
        return slot

    def _preempt(self, slot: int) -> None:
        """Takes a sequence's pages and slot away; it waits before all others."""
        assert len(self.running) > 1, "one sequence always fits: admission has seen to it"
        token_ids, times = self.table.known_of(slot).copy(), self._times_of(slot)
        request = self._remove(slot)
        self.waiting[request.request_id] = _Waiting(request, token_ids, times)
        self.waiting.move_to_end(request.request_id, last=False)
        self.num_preemptions += 1

    def _remove(self, slot: int) -> Request:
        request = self.table.vacate(slot)
        del self._slot_of[request.request_id]
        self.running = self.running[self.running != slot]
        self.cache.release(slot)
        return request

    def _request(self, slot: int) -> Request:
        request = self.table.requests[slot]
        assert request is not None, f"slot {slot} is free"
        return request

    def _times_of(self, slot: int) -> tuple[float, float]:
        return float(self.table.arrived_s[slot]), float(self.table.first_token_s[slot])


def _times(arrived_s: float, first_token_s: float, finished_s: float) -> Times:
    has_token = first_token_s == first_token_s
    return Times(arrived_s, first_token_s if has_token else None, finished_s)
