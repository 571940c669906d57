"""Few combinations of many choices in which every two values of two choices occur together."""

import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

_NUM_CANDIDATES = 30


def pairwise(choices: Mapping[str, Sequence[Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Greedy: each next combination is the candidate with the most pairs that are still missing.

    Candidates begin with a missing pair, so that every turn makes progress.
    """
    rng = random.Random(seed)
    missing = {
        (a, i, b, j)
        for a, b in combinations(choices, 2)
        for i in range(len(choices[a]))
        for j in range(len(choices[b]))
    }
    found = []
    while missing:
        pair = rng.choice(sorted(missing))
        candidates = [_candidate(choices, pair, rng) for _ in range(_NUM_CANDIDATES)]
        best = max(candidates, key=lambda picks: len(missing & _pairs(picks)))
        missing -= _pairs(best)
        found.append({name: choices[name][index] for name, index in best.items()})
    return found


def _candidate(
    choices: Mapping[str, Sequence[Any]], pair: tuple[str, int, str, int], rng: random.Random
) -> dict[str, int]:
    picks = {name: rng.randrange(len(values)) for name, values in choices.items()}
    return picks | {pair[0]: pair[1], pair[2]: pair[3]}


def _pairs(picks: Mapping[str, int]) -> set[tuple[str, int, str, int]]:
    return {(a, i, b, j) for (a, i), (b, j) in combinations(picks.items(), 2)}
