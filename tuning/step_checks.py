"""Whole steps have the last word: what was found for their kernels stays if they are faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ..artifact.tuning_table import Key
from .budget import Budget
from .journal import Dropped, Found, Journal, Kept
from .judge import judge_steps
from .space import Space
from .work_state import WorkState


class StepChecks:
    """Of the entries of a search."""

    def __init__(
        self, space: Space[Any], journal: Journal, states: Sequence[WorkState], budget: Budget
    ) -> None:
        self._space, self._journal, self._budget = space, journal, budget
        self._states = states
        self.ratios: dict[str, float] = {}  # of steps' times to those before, by their names
        self.taken_back: list[Key] = []  # entries with which steps are no faster
        self.not_checked: list[str] = []  # steps for which there was no time

    def run(self) -> None:
        """Takes back what does not stay, the steps with the largest gains first."""
        gains: defaultdict[str, float] = defaultdict(float)
        for state in self._states:
            if state.entry:
                gains[state.work.key.steps] += state.gain
        for steps in sorted(gains, key=lambda steps: -gains[steps]):
            self._check(steps)

    def _check(self, steps: str) -> None:
        """Keeps all entries of steps of that name, or the better half, or of that the better."""
        found = [s for s in self._states if s.entry and s.work.key.steps == steps]
        found.sort(key=lambda state: -state.gain)
        kept = found
        while kept:
            if not self._budget.has_check():
                self._leave(steps, found)
                return
            if self._are_faster(steps, kept):
                break
            kept = kept[: len(kept) // 2]
        if len(kept) < len(found):
            self._take_back(steps, found[len(kept) :], kept)
        if kept:
            self._journal.add(Kept(steps=steps))

    def _are_faster(self, steps: str, states: Sequence[WorkState]) -> bool:
        chosen = {state.work.key: state.best for state in states}
        judged = judge_steps(
            lambda count: self._space.step_times(steps, chosen, count),
            lambda: self._budget.left_s < 0,
        )
        if judged.is_faster:
            self.ratios[steps] = judged.ratio
        return judged.is_faster

    def _leave(self, steps: str, found: Sequence[WorkState]) -> None:
        """What was not checked is in the journal alone: the next search checks it.

        Until then it is as earlier checks have left it.
        """
        if any(state.entry != state.kept for state in found):
            self.not_checked.append(steps)
        for state in found:
            state.entry = state.kept

    def _take_back(
        self, steps: str, dropped: Sequence[WorkState], kept: Sequence[WorkState]
    ) -> None:
        self._journal.add(Dropped(steps=steps))
        for state in kept:
            assert state.entry is not None, "what is kept was found"
            self._journal.add(Found(entry=state.entry))
        for state in dropped:
            self.taken_back.append(state.work.key)
            state.entry = None
