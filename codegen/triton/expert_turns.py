"""Prints down of a token alone: a turn is a choice and a part of K, and each is written out.

What a turn multiplies is read as many turns ahead as are to be on their way at once. In a loop each
turn would wait for its choice first.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import experts_text as text
from .expert_problem import ExpertTile
from .expert_region import ExpertRegion


def turns_of(
    region: ExpertRegion, tile: ExpertTile, values: Mapping[str, object]
) -> dict[str, str]:
    """What fills the text of the kernel, beside ``values``."""
    turns, choices = _Turns(region, tile), range(region.k)
    biases = (text.DOWN_ONE_BIAS.format(choice=choice, **values) for choice in choices)
    return {
        "experts_of_choices": "".join(text.EXPERT.format(choice=choice) for choice in choices),
        "first_weights": "".join(turns.weights(turn) for turn in range(turns.at_once)),
        "shares": "".join(text.SHARE.format(choice=choice) for choice in choices),
        "first_active": "".join(turns.active(turn) for turn in range(turns.at_once)),
        "turns": "".join(turns.add(turn) for turn in range(turns.count)),
        "biases": "".join(biases) * region.has_biases,
    }


class _Turns:
    def __init__(self, region: ExpertRegion, tile: ExpertTile):
        self._region, self._tile = region, tile
        starts = range(0, region.inner, tile.depth)
        self._turns = [(choice, start) for choice in range(region.k) for start in starts]
        self.count = len(self._turns)
        self.at_once = min(tile.num_stages, self.count)

    def weights(self, turn: int) -> str:
        """Reads those of a turn."""
        choice, start = self._turns[turn]
        columns = self._region.hidden % self._tile.columns > 0
        masks = [f"(n < {self._region.hidden})[:, None]"] * columns
        masks += [f"({inside})[None, :]" for inside in self._inside(start)]
        return text.WEIGHTS.format(turn=turn, choice=choice, start=start, mask=_masked(masks))

    def active(self, turn: int) -> str:
        """Reads what the weights of a turn are multiplied by."""
        choice, start = self._turns[turn]
        place, mask = choice * self._region.inner + start, _masked(self._inside(start))
        return text.ACTIVE.format(turn=turn, place=place, mask=mask)

    def add(self, turn: int) -> str:
        """Adds up the products of a turn, and reads for a later one."""
        added = text.TURN.format(turn=turn, choice=self._turns[turn][0])
        later = turn + self.at_once
        return added + self.weights(later) + self.active(later) if later < self.count else added

    def _inside(self, start: int) -> list[str]:
        """A last part of K may be short."""
        left = self._region.inner - start
        return [f"d < {left}"] if left < self._tile.depth else []


def _masked(masks: list[str]) -> str:
    return f", mask={' & '.join(masks)}, other=0.0" if masks else ""
