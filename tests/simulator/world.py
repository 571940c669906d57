"""The world around the scheduler: clients, clock, device; and what holds after every call."""

from collections import Counter, deque

from tapeout.kvcache.hashing import page_hashes
from tapeout.runtime.frame import I32, Frame, StepResult
from tapeout.runtime.request import Arrive, Cancel, Event, Finished, Mask, StepPlan, StepsLost

from .cases import Case, as_mask, as_tokens
from .device import Device, Person
from .engine import build_scheduler
from .fairness import Fairness
from .frames import FrameChecks
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
from .violation import Violation, check


class World:
    """Applies commands one by one; raises a violation when a promise is broken."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.scheduler = build_scheduler(config)
        self.device = Device(config)
        self.frames = FrameChecks(config)
        self.fairness = Fairness()
        self.cases: dict[int, Case] = {}  # unfinished, by number
        self.num_steps = 0
        self.coverage: Counter[tuple[str, str]] = Counter()
        self._events: list[Event] = []  # since the last call
        self._flights: deque[int] = deque()  # step ids
        self._numbers: set[int] = set()  # ever accepted
        self._starts: Counter[tuple[int, ...]] = Counter()  # salts and first pages, ever
        self._timed: dict[int, float] = {}  # deadlines
        self._name_in_slot = [""] * config.max_num_seqs
        self._num_preemptions = 0
        self._must_end: dict[int, int] = {}  # numbers, and the step in flight with their last token
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
        self._starts[case.start] += 1
        self.device.persons[spec.number] = Person(spec.salt, case.nan_at)
        self.cases[spec.number] = case
        if case.request.deadline_s is not None:
            self._timed[spec.number] = case.request.deadline_s
        self._events.append(Arrive(case.request))

    def _is_refused(self, case: Case) -> bool:
        """What the scheduler says of its queue, which must be what is true."""
        coming = [event.request for event in self._events if isinstance(event, Arrive)]
        num_tokens = len(case.prompt) + sum(len(r.prompt_token_ids) for r in coming)
        refused = self.scheduler.refusal(1 + len(coming), num_tokens) is not None
        config, waiting = self.config, [c for c in self.cases.values() if self._waits(c)]
        limits = config.max_num_waiting, config.max_waiting_tokens
        if limits == (None, None):
            check(not refused, "a queue without bounds is full")
            return refused
        known = len(case.prompt) + sum(len(c.prompt) + len(c.told) for c in waiting)
        is_full = [
            limit is not None and count > limit
            for count, limit in zip((1 + len(waiting), known), limits, strict=True)
        ]
        check(refused or not any(is_full), "the queue takes", 1 + len(waiting), known, limits)
        return refused

    def _waits(self, case: Case) -> bool:
        return not case.num_admissions or case.request_id in self.scheduler.waiting

    def _cancel(self, command: Cancelling) -> None:
        case = self.cases.get(command.number)
        self._events.append(Cancel(f"r{command.number}", "abort", command.keep))
        self._note("cancel", case)
        if case is not None and not case.is_cancelled:
            case.is_cancelled, case.cancel_keeps = True, command.keep

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
        self._flights.clear()
        self._must_end.clear()
        self._events.append(StepsLost())

    # ---- a call ----

    def _step(self, command: Stepping) -> None:
        self._now += command.seconds
        self.num_steps += 1
        result = self._result(command.report)
        events, self._events = self._events, []
        for event in events:
            if isinstance(event, Arrive):
                self._case(event.request.request_id).arrived_s = self._now
        plan = self.scheduler.step(self._now, events if result is None else [result, *events])
        self._hear(plan, result)
        self.fairness.follow(events, plan.finished)
        self._check_preempted()
        self._check_books(events)
        if plan.frame is None:
            self._check_idle()
        else:
            self._run(plan.frame, command.glitch)

    def _result(self, report: bool) -> StepResult | None:
        if not self._flights or not (report or len(self._flights) > self.config.depth):
            return None
        self.frames.reported = self._flights.popleft()
        return self.device.results.popleft()

    def _hear(self, plan: StepPlan, result: StepResult | None) -> None:
        check(result is not None or not plan.progress, "progress of no step")
        for progress in plan.progress:
            self._case(progress.request_id).hear(progress, result)
        for finished in plan.finished:
            self._end(finished)

    def _end(self, finished: Finished) -> None:
        case = self._case(finished.request_id)
        self._note(finished.finish_reason, case)
        case.end(finished, self._now, case.spec.number in self.device.glitched)
        del self.cases[case.spec.number]
        self._timed.pop(case.spec.number, None)
        if finished.finish_reason == "numeric_error":
            self._check_forgotten(case, finished.token_ids)

    def _check_forgotten(self, case: Case, output: list[int]) -> None:
        """Nothing is left of a broken request, but what it held no more or shared."""
        held_all = case.num_admissions == 1 and not any(self.config.windows)
        if held_all and self._starts[case.start] == 1:
            tokens = as_tokens([*case.prompt, *output])
            salt, size = case.request.cache_salt, self.config.page_size_tokens
            num_kept = self.scheduler.cache.match(page_hashes(tokens, size, salt))
            check(not num_kept, num_kept, "pages of", case.request_id, "are kept in the index")

    def _case(self, request_id: str) -> Case:
        case = self.cases.get(int(request_id[1:]))
        if case is None:
            raise Violation(f"{request_id} has ended before or never came")
        return case

    def _run(self, frame: Frame, glitch: int | None) -> None:
        admitted = [self._admit(a.sampling.top_k, a.slot, a.token_ids) for a in frame.arrivals]
        if admitted and len(self.scheduler.waiting):
            waiting = [c for c in self.cases.values() if self._waits(c) and self._can_go(c)]
            self.fairness.check_admitted(admitted, waiting)
        self.frames.check(frame)
        slots = self.device.slots(frame).tolist()
        self.fairness.charge(frame, [self._name_in_slot[slot] for slot in slots])
        self.device.submit(frame, glitch)
        self._flights.append(frame.step_id)

    def _admit(self, number: int, slot: int, token_ids: I32) -> Case:
        case, known = self._case(f"r{number}"), token_ids.tolist()
        self._note("admitted", case)
        case.num_admissions += 1
        case.is_running = True
        self._name_in_slot[slot] = case.request_id
        due, name = [*case.prompt, *case.truth], case.request_id
        check(len(known) >= len(case.prompt) + len(case.told), name, "forgot tokens")
        check(known == due[: len(known)], name, "arrives with", known, "and not", due)
        return case

    def _can_go(self, case: Case) -> bool:
        """Whether it waits neither for a mask nor for a page that another computes."""
        others = (c for c in self.cases.values() if c is not case and c.num_admissions)
        return not case.waits_for_mask and not (
            case.request.reads_cache and any(other.start == case.start for other in others)
        )

    # ---- what must hold ----

    def _check_books(self, events: list[Event]) -> None:
        scheduler, count = self.scheduler, len(self.cases)
        scheduler.cache.check_integrity()
        check(scheduler.num_unfinished == count, scheduler.num_unfinished, "and not", count)
        for event in events:
            if isinstance(event, Cancel):
                check(int(event.request_id[1:]) not in self.cases, event.request_id, "goes on")
        for number, deadline in self._timed.items():
            check(deadline > self._now, number, "is past its time")

    def _check_preempted(self) -> None:
        """The best of those that run gives way only to those whose last step is in flight."""
        for number, step_id in list(self._must_end.items()):
            if number not in self.cases:
                del self._must_end[number]
            elif self.frames.reported >= step_id:
                raise Violation(f"r{number} goes on, and a better one gave way to it")
        if self.scheduler.num_preemptions == self._num_preemptions:
            return
        self._num_preemptions = self.scheduler.num_preemptions
        running = [case for case in self.cases.values() if case.is_running]
        for case in running:
            case.is_running = not self._waits(case)
        for case in running:
            if not case.is_running:
                self._note("preempted", case)
                self._give_way(case, [other for other in running if other.is_running])

    def _give_way(self, case: Case, others: list[Case]) -> None:
        if all(case.rank < other.rank for other in others):
            last_step_id = self.frames.next_step_id - 1
            self._must_end |= {other.spec.number: last_step_id for other in others}

    def _check_idle(self) -> None:
        """Nothing was planned: a step in flight must hold everybody up, or a mask."""
        if self._flights:
            return
        names = [case.request_id for case in self.cases.values()]
        is_held_up = any(case.waits_for_mask for case in self.cases.values())
        check(not names or is_held_up, names, "wait for nothing and are not run")
        if not names:
            free = self.scheduler.cache.num_free_pages()
            wanted = tuple(count - 1 for count in self.config.num_pages)
            check(free == wanted, "of the pages", wanted, "only", free, "came back")

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

    def _note(self, event: str, case: Case | None) -> None:
        self.coverage[self._state(case), event] += 1

    def _state(self, case: Case | None) -> str:
        if case is None:
            return "unknown or gone"
        if self._waits(case):
            kind = "preempted" if case.num_admissions else "new"
        else:
            kind = "masked" if case.spec.masked else "decoding" if case.told else "begun"
        return f"{kind}, {min(len(self._flights), 2)} in flight"
