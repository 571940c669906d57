"""The search: works in turns, each time a few candidates of one, and never a step backwards.

A turn compiles what the cost model likes best of a work, beside the compiler's own choice and the
best so far. A candidate is checked, then timed in pairs with the best; the best of a turn must beat
the compiler's own choice once more, in fresh pairs, before it is an entry.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

from msgspec.structs import replace

from ..artifact.tuning_table import Configuration, Entry, Key
from ..errors import TapeoutError
from .cost_model import CostModel
from .journal import Dropped, Found, Journal, Outcome, Trial
from .judge import judge, judge_steps
from .space import Built, Space, Work

_PATIENCE = 2  # turns of a work without an improvement
_RESERVE = 0.15  # of the budget, for whole steps


class Progress(NamedTuple):
    """How far a search is."""

    elapsed_s: float
    to_go_s: float
    num_timed: int
    name: str  # of the work that is looked at
    speedup: float  # of the predicted time of all works, so far


@dataclass
class _State:
    """A work in the search: what is best so far, what was tried, and what shall be tried first."""

    work: Work
    left: list[Configuration]
    entry: Entry | None = None
    first: list[Configuration] = field(default_factory=list)
    num_turns: int = 0
    num_idle_turns: int = 0  # one after another

    @property
    def best(self) -> Configuration:
        return self.entry.configuration if self.entry else self.work.configuration

    @property
    def ratio(self) -> float:
        """Of the best's time to that of the compiler's own choice."""
        return self.entry.time_s / self.entry.before_s if self.entry else 1.0

    @property
    def is_done(self) -> bool:
        return self.num_idle_turns >= _PATIENCE or not (self.left or self.first)

    def take(self, configuration: Configuration) -> None:
        """Marks a configuration as tried."""
        for waiting in (self.left, self.first):
            if configuration in waiting:
                waiting.remove(configuration)


class _Turn(NamedTuple, Generic[Built]):
    state: _State
    best: Configuration
    candidates: Sequence[Configuration]
    built: Sequence[Future[Built]]  # the compiler's own choice, the best, and the candidates


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
        self.step_ratios: dict[str, float] = {}  # of whole steps' times to those before
        self.taken_back: list[str] = []  # steps that were no faster with their entries
        works = sorted(space.works(), key=lambda work: -work.share)
        self._states = {work.key: self._state(work, imported) for work in works}
        for line in journal.lines:
            self._recall(line)

    def run(self, budget_s: float) -> dict[Key, Entry]:
        """Searches until nothing promises more or the budget ends; gives the entries that stay."""
        self._started_s, self._budget_s = self._clock(), budget_s
        turns: deque[_Turn[Built]] = deque()
        while self._look_ahead(turns) and not self._is_late():
            self._play(turns[0])
            turns.popleft()
        for steps in dict.fromkeys(key.steps for key in self.entries):
            self._check_steps(steps)
        return self.entries

    @property
    def keys(self) -> Collection[Key]:
        """Of all works."""
        return self._states.keys()

    @property
    def entries(self) -> dict[Key, Entry]:
        """What was found so far."""
        return {key: state.entry for key, state in self._states.items() if state.entry}

    def _state(self, work: Work, imported: Mapping[Key, Configuration]) -> _State:
        left = list(self._space.candidates(work))
        random.Random(repr(work.key)).shuffle(left)
        state = _State(work, [found for found in left if found != work.configuration])
        if work.key in imported and imported[work.key] in state.left:
            state.first.append(imported[work.key])
        return state

    def _recall(self, line: Trial | Found | Dropped) -> None:
        """Takes over what an earlier search has written down."""
        if isinstance(line, Dropped):
            self._drop(line.steps)
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

    def _next_turn(self, running: Sequence[_State]) -> _Turn[Built] | None:
        """Starts to compile a turn of a work that is not ``running``."""
        waiting = [state for state in self._states.values() if not state.is_done]
        # What comes after a turn of a work depends on how that ends.
        waiting = [state for state in waiting if all(state is not other for other in running)]
        if not waiting or self._is_late():
            return None
        state = min(waiting, key=lambda state: state.num_turns)  # of equals the largest share
        state.num_turns += 1
        count = self._space.candidates_a_turn - len(state.first)
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
        self, state: _State, configuration: Configuration, own: Built, best: Built
    ) -> bool:
        """Whether the best of a turn beats the compiler's own choice in fresh pairs."""
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

    # ---- whole steps ----

    def _check_steps(self, steps: str) -> None:
        """Takes entries back with which whole steps are not faster than they were."""
        chosen = {
            key: entry.configuration for key, entry in self.entries.items() if key.steps == steps
        }
        judged = judge_steps(lambda count: self._space.step_times(steps, chosen, count))
        if judged.is_faster:
            self.step_ratios[steps] = judged.ratio
        else:
            self.taken_back.append(steps)
            self._journal.add(Dropped(steps=steps))
            self._drop(steps)

    def _drop(self, steps: str) -> None:
        for key, state in self._states.items():
            if key.steps == steps:
                state.entry = None

    # ---- time ----

    def _is_late(self) -> bool:
        return self._clock() - self._started_s >= self._budget_s * (1 - _RESERVE)

    def _tell(self, state: _State) -> None:
        elapsed_s = self._clock() - self._started_s
        share = sum(state.work.share * state.ratio for state in self._states.values())
        to_go_s = max(self._budget_s - elapsed_s, 0.0)
        self._report(Progress(elapsed_s, to_go_s, self._num_timed, state.work.name, 1 / share))
