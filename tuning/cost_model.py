"""Predicts which configurations are worth compiling, from those that were timed: a small Gaussian
process over configurations and shapes, so that what one kernel taught helps with the next."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..artifact.tuning_table import Configuration, Key

Array = NDArray[np.float64]

_MAX_OBSERVATIONS = 300  # the newest; more would take longer than they teach
_DEVIATION, _NOISE = 0.25, 0.05  # of logarithms of times
_RELATIVE_NOISE = (_NOISE / _DEVIATION) ** 2
_WORK_SCALE = 0.4  # how much a doubling of a shape tells apart, beside one of a knob
_CURIOSITY = 0.5  # deviations by which what is not known may be better
_MANY_ROWS = 1024
_NUM_SIZES = 5


class CostModel:
    """Learns logarithms of times, relative to the artifact's own choice."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], list[tuple[Array, float]]] = {}

    def add(self, key: Key, configuration: Configuration, ratio: float) -> None:
        """Takes a configuration's time over that of the artifact's own choice."""
        seen = self._seen.setdefault(_names(configuration), [])
        seen.append((_features(key, [configuration])[0], float(np.log(ratio))))
        del seen[:-_MAX_OBSERVATIONS]

    def choose(
        self, key: Key, configurations: Sequence[Configuration], count: int
    ) -> list[Configuration]:
        """Up to ``count`` of them that may well be the fastest, and far enough from each other.

        Those of other names are of another form, of which nothing is known from these. Among equals
        the first goes before.
        """
        forms: dict[tuple[str, ...], list[Configuration]] = {}
        for one in configurations:
            forms.setdefault(_names(one), []).append(one)
        beliefs = {
            names: _Belief(_features(key, same), self._seen.get(names, []), count)
            for names, same in forms.items()
        }
        chosen = []
        for _ in range(min(count, len(configurations))):
            names = min(beliefs, key=lambda names: beliefs[names].promise)
            chosen.append(forms[names][beliefs[names].take()])
        return chosen


class _Belief:
    """Mean and deviation of the logarithm of each point's time, by what was seen.

    It learns one point after another, each by a sum over those before. The sums are einsum's: the
    threads of a matrix product would wait for cores, all of which compile.
    """

    def __init__(self, points: Array, seen: Sequence[tuple[Array, float]], max_taken: int) -> None:
        self._num_points, self._num_learned = len(points), 0
        self._points = np.array([*points, *(point for point, _ in seen)])
        usual = np.mean([value for _, value in seen]) if seen else 0.0
        self._means, self._variances = np.full(len(self._points), usual), np.ones(len(self._points))
        # [learned, points]: what each shares with what was learned, and with nothing before it.
        self._explained = np.empty((len(seen) + max_taken, len(self._points)))
        for place, (_, value) in enumerate(seen, len(points)):
            self._learn(place, value)

    @property
    def promise(self) -> float:
        """The logarithm of the time that the best point may well have."""
        return float(self._promises().min())

    def take(self) -> int:
        """The best point, which from then on counts as timed."""
        best = int(np.argmin(self._promises()))
        self._learn(best, self._means[best])
        self._means[best] = np.inf  # it is taken
        return best

    def _learn(self, place: int, value: float) -> None:
        known = self._explained[: self._num_learned]
        shared = self._explained[self._num_learned]
        deviation = np.sqrt(max(self._variances[place], 0) + _RELATIVE_NOISE)
        alike = _alike(self._points, self._points[place])
        shared[:] = (alike - np.einsum("i,ij->j", known[:, place], known)) / deviation
        self._means += shared * ((value - self._means[place]) / deviation)
        self._variances -= shared**2
        self._num_learned += 1

    def _promises(self) -> Array:
        means, variances = self._means[: self._num_points], self._variances[: self._num_points]
        promises: Array = means - _CURIOSITY * _DEVIATION * np.sqrt(np.maximum(variances, 0))
        return promises


def _alike(points: Array, other: Array) -> Array:
    alike: Array = np.exp(-((points - other) ** 2).sum(axis=1) / 4)
    return alike


def _names(configuration: Configuration) -> tuple[str, ...]:
    return tuple(sorted(configuration))


def _features(key: Key, configurations: Sequence[Configuration]) -> Array:
    """Doublings of every number of configurations of a form and of what they are for, in rows."""
    names = _names(configurations[0])
    knobs = np.array([[int(one[name]) for name in names] for one in configurations])
    digits = re.search(r"\d+", key.steps)
    rows = int(digits[0]) if digits else _MANY_ROWS
    sizes = [rows, len(key.kernel.split()), *key.shape, *[0] * _NUM_SIZES][:_NUM_SIZES]
    scaled = _WORK_SCALE * np.log2(1 + np.array(sizes))
    return np.hstack([np.log2(1 + knobs), np.tile(scaled, (len(knobs), 1))])
