"""What is raised where the engine breaks a promise."""

import numpy as np


class Violation(AssertionError):
    """A promise that did not hold, in one line."""


def check(promise: object, *told: object) -> None:
    """Raises a violation that tells what was seen."""
    if not promise:
        raise Violation(" ".join(map(str, told)))


def every(values: np.ndarray) -> bool:
    """Whether all are true; quicker for a few values than their method."""
    return int(np.count_nonzero(values)) == values.size


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are equal in shape and values."""
    return one.shape == other.shape and not np.count_nonzero(one != other)
