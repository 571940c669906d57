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

        All have the same names. Among equals the first goes before.
        """
        chosen: list[Configuration] = []
        left = list(configurations)
        seen = list(self._seen.get(_names(left[0]), [])) if left else []
        points = [_features(key, found) for found in left]
        while left and len(chosen) < count:
            means, deviations = _predict(np.array(points), seen)
            best = int(np.argmin(means - _CURIOSITY * deviations))
            seen.append((points.pop(best), float(means[best])))  # as if it were timed already
            chosen.append(left.pop(best))
        return chosen


def _predict(points: Array, seen: Sequence[tuple[Array, float]]) -> tuple[Array, Array]:
    """Mean and deviation of the logarithm of each point's time."""
    if not seen:
        return np.zeros(len(points)), np.full(len(points), _DEVIATION)
    known, values = np.array([point for point, _ in seen]), np.array([v for _, v in seen])
    noise = (_NOISE / _DEVIATION) ** 2 * np.eye(len(known))
    cross = _alike(points, known)
    weights = np.linalg.solve(_alike(known, known) + noise, cross.T).T
    unexplained = np.maximum(1 - (cross * weights).sum(axis=1), 0)
    usual = values.mean()
    return usual + weights @ (values - usual), _DEVIATION * np.sqrt(unexplained)


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
