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
    """Learns logarithms of times, relative to the compiler's own choice."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], list[tuple[Array, float]]] = {}

    def add(self, key: Key, configuration: Configuration, ratio: float) -> None:
        """Takes a configuration's time over that of the compiler's own."""
        seen = self._seen.setdefault(_names(configuration), [])
        seen.append((_features(key, configuration), float(np.log(ratio))))
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
        beliefs = {names: self._belief(key, same) for names, same in forms.items()}
        chosen = []
        for _ in range(min(count, len(configurations))):
            names = min(beliefs, key=lambda names: beliefs[names].promise)
            chosen.append(forms[names][beliefs[names].take()])
        return chosen

    def _belief(self, key: Key, configurations: Sequence[Configuration]) -> _Belief:
        points = np.array([_features(key, one) for one in configurations])
        return _Belief(points, self._seen.get(_names(configurations[0]), []))


class _Belief:
    """Mean and deviation of the logarithm of each point's time, by what was seen."""

    def __init__(self, points: Array, seen: Sequence[tuple[Array, float]]) -> None:
        self._points = points
        self._means, self._variances = np.zeros(len(points)), np.ones(len(points))
        self._explained: list[Array] = []  # what each point shares with what is known
        if seen:
            known, values = np.array([point for point, _ in seen]), np.array([v for _, v in seen])
            root = np.linalg.cholesky(_alike(known, known) + _RELATIVE_NOISE * np.eye(len(known)))
            explained = np.linalg.solve(root, _alike(known, points))
            usual = values.mean()
            self._means = usual + explained.T @ np.linalg.solve(root, values - usual)
            self._variances -= (explained**2).sum(axis=0)
            self._explained = [*explained]

    @property
    def promise(self) -> float:
        """The logarithm of the time that the best point may well have."""
        return float(self._promises().min())

    def take(self) -> int:
        """The best point, which from then on counts as timed."""
        best = int(np.argmin(self._promises()))
        known = np.array(self._explained).reshape(-1, len(self._points))
        shared = (
            _alike(self._points, self._points[best : best + 1])[:, 0] - known.T @ known[:, best]
        )
        shared /= np.sqrt(max(self._variances[best], 0) + _RELATIVE_NOISE)
        self._variances -= shared**2
        self._explained.append(shared)
        self._means[best] = np.inf  # it is taken
        return best

    def _promises(self) -> Array:
        deviations = _DEVIATION * np.sqrt(np.maximum(self._variances, 0))
        promises: Array = self._means - _CURIOSITY * deviations
        return promises


def _alike(a: Array, b: Array) -> Array:
    distances = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    alike: Array = np.exp(-np.maximum(distances, 0) / 4)
    return alike


def _names(configuration: Configuration) -> tuple[str, ...]:
    return tuple(sorted(configuration))


def _features(key: Key, configuration: Configuration) -> Array:
    """Doublings of every number of a configuration and of what it is for."""
    knobs = [np.log2(1 + int(configuration[name])) for name in _names(configuration)]
    digits = re.search(r"\d+", key.steps)
    rows = int(digits[0]) if digits else _MANY_ROWS
    sizes = [rows, len(key.kernel.split()), *key.shape, *[0] * _NUM_SIZES][:_NUM_SIZES]
    return np.array([*knobs, *(_WORK_SCALE * np.log2(1 + size) for size in sizes)])
