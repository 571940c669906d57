"""The time of a search: how much is left, and how long a piece of its work may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RESERVE = 0.15  # of the budget at least, for whole steps


class Budget:
    """Of a search that has ``budget_s``, of which ``spent_s`` is gone before it begins.

    A turn, and a check of whole steps, are taken to last as long as the one before, the first as
    long as ``expected_s``.
    """

    def __init__(
        self, budget_s: float, spent_s: float, expected_s: float, clock: Callable[[], float]
    ) -> None:
        self._budget_s, self._clock = budget_s, clock
        self._started_s = clock() - spent_s
        self._expected_s = expected_s
        self._lasted_s: dict[str, float] = {}

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
        return not self.is_late(num_checks, self._lasts_s("turn"))

    def has_check(self) -> bool:
        """Whether a check ends in time."""
        return self.left_s >= self._lasts_s("check")

    def is_late(self, num_checks: int, lasts_s: float = 0.0) -> bool:
        """Whether what lasts so long would end when so many checks must have begun."""
        reserve_s = max(_RESERVE * self._budget_s, num_checks * self._lasts_s("check"))
        return self.left_s < lasts_s + reserve_s

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Remembers how long a block takes, a `turn` or a `check`."""
        started_s = self._clock()
        yield
        self._lasted_s[name] = self._clock() - started_s

    def _lasts_s(self, name: str) -> float:
        return self._lasted_s.get(name, self._expected_s)
