"""The search: works in turns, each time a few candidates of one, and never a step backwards.

A turn compiles what the cost model likes best of a work, beside the artifact's own choice and the
best so far. A candidate is checked, then timed in pairs with the best; the best of a turn must beat
the artifact's own choice once more, in fresh pairs, before it is an entry. Works with a larger
share of the predicted time have more turns, those where nothing is found fewer. Whole steps decide
at the end.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Generic, NamedTuple

from msgspec.structs import replace

from ..artifact.tuning_table import Configuration, Entry, Key
from ..errors import TapeoutError
from .budget import Budget
from .cost_model import CostModel
from .journal import Dropped, Found, Journal, Kept, Line, Outcome, Trial
from .judge import judge
from .space import Built, Space, Work
from .step_checks import StepChecks
from .work_state import WorkState

_LEAST_CLAIM = 0.25  # of an even share: what a work claims however small its own is


class Progress(NamedTuple):
    """How far a search is."""

    elapsed_s: float
    to_go_s: float
    num_timed: int
    name: str  # of the work that is looked at
    speedup: float  # of the predicted time of all works, so far


class _Turn(NamedTuple, Generic[Built]):
    state: WorkState
    best: Configuration
    candidates: Sequence[Configuration]
    built: Sequence[Future[Built]]  # the artifact's own choice, the best, and the candidates


class Search(Generic[Built]):
    """One search; what a journal knows already is not done again."""

    def __init__(
        self,
        space: Space[Built],
        journal: Journal,
        imported: Mapping[Key, Configuration],
        report: Callable[[Progress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._space, self._journal, self._report, self._clock = space, journal, report, clock
        self._model = CostModel()
        self._num_timed = 0
        self.unknown: list[Key] = []  # of imported configurations that are no candidates
        works = sorted(space.works(), key=lambda work: -work.share)
        self._states = {work.key: self._state(work, imported) for work in works}
        for line in journal.lines:
            self._recall(line)

    def run(self, budget_s: float, spent_s: float = 0.0) -> StepChecks:
        """Searches until nothing promises more or the budget ends, of which ``spent_s`` is gone.

        Then whole steps decide which `entries` stay; gives how that went.
        """
        self._budget = Budget(budget_s, spent_s, self._space.expected_turn_s, self._clock)
        turns: deque[_Turn[Built]] = deque()
        while not self._is_late():
            with self._budget.turn():
                if not self._look_ahead(turns):
                    break
                self._play(turns.popleft())
        checks = StepChecks(self._space, self._journal, [*self._states.values()], self._budget)
        checks.run()
        return checks

    @property
    def keys(self) -> Collection[Key]:
        """Of all works."""
        return self._states.keys()

    @property
    def entries(self) -> dict[Key, Entry]:
        """What was found so far."""
        return {key: state.entry for key, state in self._states.items() if state.entry}

    @property
    def answered(self) -> Collection[Key]:
        """Of works whose imported configuration was tried, or of which others were."""
        return [key for key, state in self._states.items() if state.num_tried and not state.first]

    @property
    def num_untried(self) -> int:
        """Works of which nothing was tried, though it might be."""
        return sum(not state.num_tried and bool(state.left) for state in self._states.values())

    @property
    def num_left(self) -> int:
        """Configurations that were not tried."""
        return sum(len(state.left) for state in self._states.values())

    def _state(self, work: Work, imported: Mapping[Key, Configuration]) -> WorkState:
        left = list(self._space.candidates(work))
        random.Random(repr(work.key)).shuffle(left)
        state = WorkState(work, [found for found in left if found != work.configuration])
        brought = imported.get(work.key, work.configuration)
        if brought in state.left:
            state.first.append(brought)
        elif brought != work.configuration:
            self.unknown.append(work.key)
        return state

    def _recall(self, line: Line) -> None:
        """Takes over what an earlier search has written down."""
        if isinstance(line, Dropped | Kept):
            for decided in [s for key, s in self._states.items() if key.steps == line.steps]:
                decided.entry = decided.entry if isinstance(line, Kept) else None
                decided.kept = decided.entry
            return
        key = line.entry.key if isinstance(line, Found) else line.key
        state = self._states.get(key)
        if state is None:
            return
        if isinstance(line, Found):
            state.entry = line.entry
            state.take(line.entry.configuration)
            return
        state.take(line.configuration)
        if line.ratio is not None:
            self._model.add(key, line.configuration, line.ratio)
        if line.outcome == "faster":  # and perhaps not confirmed any more: first of all again
            state.first.append(line.configuration)

    # ---- turns ----

    def _look_ahead(self, turns: deque[_Turn[Built]]) -> bool:
        """Starts to compile turns while one is timed; says whether there is one to play."""
        while len(turns) <= self._space.turns_ahead:
            turn = self._next_turn([turn.state for turn in turns])
            if turn is None:
                break
            turns.append(turn)
        return bool(turns)

    def _next_turn(self, running: Sequence[WorkState]) -> _Turn[Built] | None:
        """Starts to compile a turn of a work that is not ``running``."""
        waiting = [state for state in self._states.values() if not state.is_done]
        # What comes after a turn of a work depends on how that ends.
        waiting = [state for state in waiting if all(state is not other for other in running)]
        if not waiting or not self._budget.has_turn(self._num_checks):
            return None
        num_a_turn, least = self._space.candidates_a_turn, _LEAST_CLAIM / len(self._states)
        state = max(waiting, key=lambda state: state.claim(least, num_a_turn))
        count = num_a_turn - len(state.first)
        chosen = [*state.first, *self._model.choose(state.work.key, state.left, count)]
        built = self._space.compile(state.work, [state.work.configuration, state.best, *chosen])
        return _Turn(state, state.best, chosen, built)

    def _play(self, turn: _Turn[Built]) -> None:
        """Tries the candidates one after another, and confirms the best of them."""
        state, work = turn.state, turn.state.work
        own, best = (future.result() for future in turn.built[:2])
        ratio, chosen = state.ratio, None
        for configuration, future in zip(turn.candidates, turn.built[2:], strict=True):
            if self._is_late():
                break
            self._tell(state)
            trial, built = self._try(work, configuration, future, best, ratio)
            self._journal.add(trial)
            if trial.outcome == "failed":
                self._space.check_alive()  # else all that follow would have failed, and stand so
            state.take(configuration)
            if trial.ratio is not None:
                self._model.add(work.key, configuration, trial.ratio)
            if trial.outcome == "faster" and built is not None and trial.ratio is not None:
                best, ratio, chosen = built, trial.ratio, configuration
        is_better = chosen is not None and self._confirm(state, chosen, own, best)
        state.num_idle_turns = 0 if is_better else state.num_idle_turns + 1

    def _try(
        self,
        work: Work,
        configuration: Configuration,
        future: Future[Built],
        best: Built,
        best_ratio: float,
    ) -> tuple[Trial, Built | None]:
        """A candidate's trial. It is timed only if its output is right."""
        trial = Trial(key=work.key, configuration=configuration, outcome="failed")
        try:
            built = future.result()
            reason = self._space.wrong(work, built)
        except TapeoutError as error:
            return replace(trial, reason=str(error)), None
        if reason is not None:
            return replace(trial, outcome="wrong", reason=reason), None
        judged = judge(lambda count: self._space.times(work, best, built, count))
        self._num_timed += 1
        outcome: Outcome = "faster" if judged.is_faster else "slower"
        return replace(trial, outcome=outcome, ratio=best_ratio * judged.ratio), built

    def _confirm(
        self, state: WorkState, configuration: Configuration, own: Built, best: Built
    ) -> bool:
        """Whether the best of a turn beats the artifact's own choice in fresh pairs."""
        judged = judge(lambda count: self._space.times(state.work, own, best, count))
        if not judged.is_faster:
            return False
        state.entry = Entry(
            key=state.work.key,
            configuration=configuration,
            time_s=judged.first_s * judged.ratio,
            before_s=judged.first_s,
            least_s=self._space.least_s(state.work),
        )
        self._journal.add(Found(entry=state.entry))
        return True

    # ---- time ----

    @property
    def _num_checks(self) -> int:
        """Whole steps of so many sizes have an entry by now."""
        return len({key.steps for key in self.entries})

    def _is_late(self) -> bool:
        return self._budget.is_late(self._num_checks)

    def _tell(self, state: WorkState) -> None:
        share = sum(state.work.share * state.ratio for state in self._states.values())
        to_go_s = max(self._budget.left_s, 0.0)
        name = state.work.name
        self._report(Progress(self._budget.elapsed_s, to_go_s, self._num_timed, name, 1 / share))
