"""The time of a search: how much is left, and how long a piece of its work may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RESERVE = 0.15  # of the budget at least, for whole steps


class Budget:
    """Of a search that has ``budget_s``, of which ``spent_s`` is gone before it begins.

    A turn is taken to last as long as the one before. The first, and checks of whole steps, of
    which some are a hundred times as long as others, are taken to last ``expected_s``.
    """

    def __init__(
        self, budget_s: float, spent_s: float, expected_s: float, clock: Callable[[], float]
    ) -> None:
        self._budget_s, self._clock = budget_s, clock
        self._started_s = clock() - spent_s
        self._expected_s = self._turn_s = expected_s

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return self._clock() - self._started_s

    @property
    def left_s(self) -> float:
        """Below zero when it is over."""
        return self._budget_s - self.elapsed_s

    def has_turn(self, num_checks: int) -> bool:
        """Whether a turn ends before so many checks must begin."""
        return not self.is_late(num_checks, self._turn_s)

    def has_check(self) -> bool:
        """Whether a check is expected to end in time."""
        return self.left_s >= self._expected_s

    def is_late(self, num_checks: int, lasts_s: float = 0.0) -> bool:
        """Whether what lasts so long would end when so many checks must have begun."""
        reserve_s = max(_RESERVE * self._budget_s, num_checks * self._expected_s)
        return self.left_s < lasts_s + reserve_s

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Remembers how long a turn takes, which is a block."""
        started_s = self._clock()
        yield
        self._turn_s = self._clock() - started_s
