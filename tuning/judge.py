"""Decides from noisy pairs of times whether one variant is faster than another.

Wald's sequential test on the share of pairs that are won: it asks for as few pairs as the answer
takes, and no single outlier can sway it. A pair counts as won when the second is faster by more
than the margin. If no more than half of the pairs would be won, "faster" is said once in a thousand
times; if three quarters would be, it is missed once in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from .space import Times

MARGIN = 0.01
MAX_PAIRS = 80
_PAIRS_AT_A_TIME = 5
_FIRST_PAIRS, _FAR = 3, 0.1  # what is so much slower in all of the first is given up

_STEP_PAIRS_AT_A_TIME, _MAX_STEP_PAIRS = 12, 72
_LIKELY, _CLEAR = 2.0, 3.3  # deviations

_WON, _LOST = math.log(0.75 / 0.5), math.log(0.25 / 0.5)
_FASTER, _NOT_FASTER = math.log((1 - 0.05) / 0.001), math.log(0.05 / (1 - 0.001))


class Judged(NamedTuple):
    """The verdict, and medians over all pairs."""

    is_faster: bool  # the second, by more than the margin and beyond noise
    first_s: float
    second_s: float
    ratio: float  # of the second's time to the first's, in a pair


def judge(take: Callable[[int], Times]) -> Judged:
    """Takes pairs until the second is known to be faster, or not to be."""
    first_s: list[float] = []
    second_s: list[float] = []
    evidence = 0.0
    while len(first_s) < MAX_PAIRS and _NOT_FASTER < evidence < _FASTER:
        times = take(_PAIRS_AT_A_TIME if first_s else _FIRST_PAIRS)
        pairs = [*zip(times.first_s, times.second_s, strict=True)]
        evidence += sum(_WON if second < first * (1 - MARGIN) else _LOST for first, second in pairs)
        if not first_s and all(second > first * (1 + _FAR) for first, second in pairs):
            evidence = _NOT_FASTER
        first_s += times.first_s
        second_s += times.second_s
    ratio = median(second / first for first, second in zip(first_s, second_s, strict=True))
    return Judged(evidence >= _FASTER, median(first_s), median(second_s), ratio)


def judge_steps(take: Callable[[int], Times], is_late: Callable[[], bool]) -> Judged:
    """Whether whole steps are faster the second way: by what share of pairs says, however little.

    When it is late, the pairs that were taken so far have to do.
    Steps that are no faster are called so in one case of forty, much slower ones never.
    """
    first_s: list[float] = []
    second_s: list[float] = []
    score = 0.0  # in deviations from as many wins as losses
    while len(first_s) < _MAX_STEP_PAIRS and abs(score) < _CLEAR:
        if first_s and is_late():
            break
        times = take(_STEP_PAIRS_AT_A_TIME)
        first_s += times.first_s
        second_s += times.second_s
        pairs = zip(first_s, second_s, strict=True)
        score = sum(1 if second < first else -1 for first, second in pairs) / len(first_s) ** 0.5
    ratio = median(second / first for first, second in zip(first_s, second_s, strict=True))
    return Judged(score >= _LIKELY, median(first_s), median(second_s), ratio)
