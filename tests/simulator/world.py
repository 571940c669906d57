"""The world around the scheduler: clients, clock, device. What it is told, it checks."""

from collections import Counter, deque

from tapeout.runtime.frame import Arrival, Frame, StepResult
from tapeout.runtime.request import Arrive, Cancel, Event, Finished, Mask, StepPlan, StepsLost

from .books import Books
from .cases import Case, as_mask
from .device import Device, Person
from .engine import build_scheduler
from .fairness import Fairness
from .frames import FrameChecks
from .index import check_index
from .model import mask_of
from .trace import (
    Arriving,
    Cancelling,
    Command,
    Config,
    Draining,
    Losing,
    Masking,
    Stepping,
)
from .violation import check


class World:
    """Applies commands one by one; raises a violation when a promise is broken."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.scheduler = build_scheduler(config)
        self.device = Device(config)
        self.frames = FrameChecks(config)
        self.fairness = Fairness()
        self.books = Books(config, self.scheduler, self.frames)
        self.cases = self.books.cases
        self.num_steps = 0
        self.coverage: Counter[tuple[str, str]] = Counter()
        self._events: list[Event] = []  # since the last call
        self._flights: deque[int] = deque()  # step ids
        self._numbers: set[int] = set()  # ever accepted
        self._name_in_slot = [""] * config.max_num_seqs
        self._now = 0.0

    def apply(self, command: Command) -> None:
        """Does what a command says."""
        match command:
            case Arriving():
                self._arrive(command)
            case Cancelling():
                self._cancel(command)
            case Masking():
                self._mask(command)
            case Losing():
                self._lose()
            case Stepping():
                self._step(command)
            case Draining():
                self._drain()

    # ---- events ----

    def _arrive(self, spec: Arriving) -> None:
        if spec.number in self._numbers:
            return
        case = Case(spec, self.config, self._now)
        refused = self._is_refused(case)
        self._note("queue full" if refused else "arrive", case)
        if refused:
            return
        self._numbers.add(spec.number)
        self.device.persons[spec.number] = Person(spec.salt, case.nan_at)
        self.books.add(case)
        self._events.append(Arrive(case.request))

    def _is_refused(self, case: Case) -> bool:
        """What the scheduler says of its queue, which must be what is true."""
        coming = [event.request for event in self._events if isinstance(event, Arrive)]
        num_tokens = len(case.prompt) + sum(len(r.prompt_token_ids) for r in coming)
        refused = self.scheduler.refusal(1 + len(coming), num_tokens) is not None
        limits = self.config.max_num_waiting, self.config.max_waiting_tokens
        if limits == (None, None):
            check(not refused, "a queue without bounds is full")
            return refused
        waiting = [other for other in self.cases.values() if self.books.waits(other)]
        known = len(case.prompt) + sum(len(c.prompt) + len(c.told) for c in waiting)
        is_full = [
            limit is not None and count > limit
            for count, limit in zip((1 + len(waiting), known), limits, strict=True)
        ]
        check(refused or not any(is_full), "the queue takes", 1 + len(waiting), known, limits)
        return refused

    def _cancel(self, command: Cancelling) -> None:
        case = self.cases.get(command.number)
        reason = "stop" if command.is_stop else "abort"
        self._events.append(Cancel(f"r{command.number}", reason, command.keep))
        self._note(f"cancel: {reason}", case)
        if case is not None and case.cancel is None:
            case.cancel = command

    def _mask(self, command: Masking) -> None:
        case = self.cases.get(command.number)
        if case is None or not case.spec.masked:
            return
        count = len(case.told)
        if command.shift:
            self._note("wrong mask", case)
            mask = as_mask(mask_of(-command.number - 2, count))
            self._events.append(Mask(case.request_id, count + command.shift, mask))
        elif case.waits_for_mask:
            self._note("mask", case)
            mask = as_mask(mask_of(command.number, count))
            self._events.append(Mask(case.request_id, count, mask))
            case.num_masks = count + 1

    def _lose(self) -> None:
        for case in self.cases.values():
            self._note("steps lost", case)
        self.device.lose()
        self.frames.lose()
        self.books.must_end.clear()
        self._flights.clear()
        self._events.append(StepsLost())

    # ---- a call ----

    def _step(self, command: Stepping) -> None:
        self._now += command.seconds
        self.num_steps += 1
        result = self._result(command.report)
        events, self._events = self._events, []
        for event in events:
            if isinstance(event, Arrive):
                self.books.case(event.request.request_id).arrived_s = self._now
        plan = self.scheduler.step(self._now, events if result is None else [result, *events])
        self._hear(plan, result)
        self.fairness.follow(events, plan.finished)
        preempted = self.books.preempted(events)
        for case in preempted:
            self._note("preempted", case)
        self.books.check_call(events, self._now)
        check_index(self.scheduler.cache, self.frames, self.device)
        if plan.frame is not None:
            names = self._run(plan.frame, command.glitch)
            if not preempted:
                self.books.check_progress(plan.frame, names)
        elif not self._flights:
            self.books.check_idle()
        count = self.scheduler.num_in_flight
        check(count == len(self._flights), count, "steps in flight of", len(self._flights))

    def _result(self, report: bool) -> StepResult | None:
        if not self._flights or not (report or len(self._flights) > self.config.depth):
            return None
        self.frames.reported = self._flights.popleft()
        return self.device.results.popleft()

    def _hear(self, plan: StepPlan, result: StepResult | None) -> None:
        check(result is not None or not plan.progress, "progress of no step")
        for progress in plan.progress:
            self.books.case(progress.request_id).hear(progress, result, self._now)
        for finished in plan.finished:
            self._end(finished)

    def _end(self, finished: Finished) -> None:
        case = self.books.case(finished.request_id)
        self._note(finished.finish_reason, case)
        case.end(finished, self._now, case.spec.number in self.device.glitched)
        self.books.remove(case)
        if finished.finish_reason == "numeric_error":
            self.books.check_forgotten(case, finished.token_ids)

    def _run(self, frame: Frame, glitch: int | None) -> list[str]:
        """Submits a step; gives whose its sequences are."""
        admitted = [self._admit(arrival) for arrival in frame.arrivals]
        if admitted and len(self.scheduler.waiting):
            waiting = [c for c in self.cases.values() if self.books.waits(c)]
            able = [case for case in waiting if self.books.can_go(case)]
            self.fairness.check_admitted(admitted, able)
        self.frames.check(frame)
        slots = self.device.slots(frame)
        names = [self._name_in_slot[slot] for slot in slots.tolist()]
        for case in admitted:
            place = int(frame.query_start[names.index(case.request_id)])
            self._note("cache hit" if case.begin(int(frame.positions[place])) else "no hit", case)
        self.fairness.charge(frame, names)
        self.device.submit(frame, glitch)
        self._flights.append(frame.step_id)
        return names

    def _admit(self, arrival: Arrival) -> Case:
        case = self.books.case(f"r{arrival.sampling.top_k}")
        self._note("admitted", case)
        case.admit(arrival.token_ids.tolist())
        self._name_in_slot[arrival.slot] = case.request_id
        return case

    def _drain(self) -> None:
        due = sum(len(case.prompt) + case.max_tokens for case in self.cases.values())
        for _ in range(20 + 4 * (self.config.depth + 1) * due):
            if not self.cases and not self._flights:
                break
            for number, case in self.cases.items():
                if case.waits_for_mask:
                    self._mask(Masking(number))
            self._step(Stepping())
        names = [case.request_id for case in self.cases.values()]
        check(not names, "never end:", names)
        self._step(Stepping())

    # ---- what was met ----

    def _note(self, event: str, case: Case | None) -> None:
        self.coverage[self._state(case), event] += 1

    def _state(self, case: Case | None) -> str:
        if case is None:
            return "unknown or gone"
        if self.books.waits(case):
            kind = "preempted" if case.num_admissions else "new"
        else:
            kind = "masked" if case.spec.masked else "decoding" if case.told else "begun"
        return f"{kind}, {min(len(self._flights), 2)} in flight"
