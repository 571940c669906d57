"""What must hold of scheduler and cache after every call, whatever the call brought."""

from collections import Counter, deque
from collections.abc import Sequence

from tapeout.kvcache.hashing import page_hashes
from tapeout.runtime.frame import Frame
from tapeout.runtime.request import Cancel, Event, StepsLost
from tapeout.runtime.scheduler import Scheduler

from .cases import Case, as_tokens
from .frames import FrameChecks
from .trace import Config
from .violation import Violation, check


class Books:
    """Who is there, where, and until when."""

    def __init__(self, config: Config, scheduler: Scheduler, frames: FrameChecks) -> None:
        self.config, self.scheduler, self.frames = config, scheduler, frames
        self.cases: dict[int, Case] = {}  # unfinished, by number
        self.must_end: dict[int, int] = {}  # numbers, and the step with their last token
        self._timed: dict[int, float] = {}  # deadlines
        self._starts: Counter[tuple[int, ...]] = Counter()  # salts and first pages, ever
        self._num_preemptions = 0

    def add(self, case: Case) -> None:
        """A request has been accepted."""
        self.cases[case.spec.number] = case
        self._starts[case.start] += 1
        if case.request.deadline_s is not None:
            self._timed[case.spec.number] = case.request.deadline_s

    def remove(self, case: Case) -> None:
        """A request has ended."""
        del self.cases[case.spec.number]
        self._timed.pop(case.spec.number, None)
        self.must_end.pop(case.spec.number, None)

    def case(self, request_id: str) -> Case:
        """The unfinished request of an id."""
        case = self.cases.get(int(request_id[1:]))
        if case is None:
            raise Violation(f"{request_id} has ended before or never came")
        return case

    def waits(self, case: Case) -> bool:
        """Whether it has no slot."""
        return not case.num_admissions or case.request_id in self.scheduler.waiting

    def can_go(self, case: Case) -> bool:
        """Whether it waits neither for a mask nor for a page that another computes."""
        others = (c for c in self.cases.values() if c is not case and c.num_admissions)
        return not case.waits_for_mask and not (
            case.request.reads_cache and any(other.start == case.start for other in others)
        )

    # ---- after a call ----

    def check_call(self, events: Sequence[Event], now: float) -> None:
        """Pages are where they should be; who should have gone is gone, the others are there."""
        scheduler, count = self.scheduler, len(self.cases)
        scheduler.cache.check_integrity()
        check(scheduler.num_unfinished == count, scheduler.num_unfinished, "and not", count)
        for event in events:
            if isinstance(event, Cancel):
                check(int(event.request_id[1:]) not in self.cases, event.request_id, "goes on")
        for number, deadline in self._timed.items():
            check(deadline > now, number, "is past its time")
        for number, step_id in self.must_end.items():
            check(self.frames.reported < step_id, f"r{number} goes on, and a better one does not")

    def preempted(self, events: Sequence[Event]) -> list[Case]:
        """Those who lost their slots in this call, never the best of those that ran.

        When steps are lost all do, and who comes back at once may be anyone.
        """
        if self.scheduler.num_preemptions == self._num_preemptions:
            return []
        self._num_preemptions = self.scheduler.num_preemptions
        running = [case for case in self.cases.values() if case.is_running]
        for case in running:
            case.is_running = not self.waits(case)
        gone = [case for case in running if not case.is_running]
        best = min((case.rank for case in running if case.is_running), default=None)
        is_lost = any(isinstance(event, StepsLost) for event in events)
        for case in () if is_lost else gone:
            check(best is None or best < case.rank, case.request_id, "gives way, the best of all")
        return gone

    def check_progress(self, frame: Frame, names: Sequence[str]) -> None:
        """Sequence i of the planned step is of `names[i]`: the best gets on, no budget is left.

        Who is not in the step has its last token in flight, unless it waits for a mask or pages.
        """
        cases = (case for case in self.cases.values() if case.is_running and not case.spec.masked)
        absent = [case for case in cases if case.request_id not in names]
        if absent:
            best = min(absent, key=lambda case: case.rank)
            if all(best.rank < self.case(name).rank for name in names):
                self.must_end.setdefault(best.spec.number, frame.step_id - 1)
        elif len(frame.token_places) < self.config.max_num_batched_tokens:
            for name, length in zip(names, frame.context_lengths.tolist(), strict=True):
                self._check_filled(self.case(name), length)

    def _check_filled(self, case: Case, length: int) -> None:
        due = case.num_known - case.spec.masked
        told = case.request_id, "is left at", length, "of", due, "with budget to spare"
        check(case.spec.prompt_logprobs or length >= due, *told)

    def check_idle(self) -> None:
        """Nothing was planned and nothing is in flight: only a mask can be waited for."""
        names = [case.request_id for case in self.cases.values()]
        is_held_up = any(case.waits_for_mask for case in self.cases.values())
        check(not names or is_held_up, names, "wait for nothing and are not run")
        if not names:
            free = self.scheduler.cache.num_free_pages()
            wanted = tuple(count - 1 for count in self.config.num_pages)
            check(free == wanted, "of the pages", wanted, "only", free, "came back")
            kept = self._kept()
            check(not kept, "of requests that have ended are kept:", kept)

    def _kept(self) -> list[str]:
        """Attributes that hold something, in those parts that hold nothing but requests."""
        scheduler = self.scheduler
        parts = scheduler, scheduler.sequences, scheduler.waiting, scheduler.tenants
        return [
            f"{type(part).__name__}.{name}"
            for part in parts
            for name, value in vars(part).items()
            if isinstance(value, dict | set | deque) and value
        ]

    def check_forgotten(self, case: Case, output: list[int]) -> None:
        """Nothing is left of a broken request, but what it held no more or shared."""
        held_all = case.num_admissions == 1 and not any(self.config.windows)
        if held_all and self._starts[case.start] == 1:
            tokens = as_tokens([*case.prompt, *output])
            salt, size = case.request.cache_salt, self.config.page_size_tokens
            num_kept = self.scheduler.cache.match(page_hashes(tokens, size, salt))
            check(not num_kept, num_kept, "pages of", case.request_id, "are kept in the index")
