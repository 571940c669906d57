"""A work in the search: what is best so far, what was tried, and what shall be tried first."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..artifact.tuning_table import Configuration, Entry
from .space import Work

_PATIENCE = 6  # turns without an improvement


@dataclass
class WorkState:
    """Changes as the search goes on."""

    work: Work
    left: list[Configuration]
    entry: Entry | None = None
    kept: Entry | None = None  # the last with which whole steps were faster
    first: list[Configuration] = field(default_factory=list)
    num_tried: int = 0
    num_idle_turns: int = 0  # one after another

    @property
    def best(self) -> Configuration:
        """The fastest that is known."""
        return self.entry.configuration if self.entry else self.work.configuration

    @property
    def ratio(self) -> float:
        """Of the best's time to that of the artifact's own choice."""
        return self.entry.time_s / self.entry.before_s if self.entry else 1.0

    @property
    def gain(self) -> float:
        """Of the predicted time of all works."""
        return self.work.share * (1 - self.ratio)

    @property
    def is_done(self) -> bool:
        """Whether it promises no more."""
        return self.num_idle_turns >= _PATIENCE or not (self.left or self.first)

    def claim(self, least_share: float, num_a_turn: int) -> float:
        """To the next turn: its share of the time, and less with each turn, above all in vain."""
        num_turns = 1 + self.num_tried / num_a_turn
        return float(max(self.work.share, least_share) * 0.5**self.num_idle_turns / num_turns)

    def take(self, configuration: Configuration) -> None:
        """Marks a configuration as tried."""
        self.num_tried += configuration in self.left
        for waiting in (self.left, self.first):
            if configuration in waiting:
                waiting.remove(configuration)
