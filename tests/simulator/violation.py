"""What is raised where the engine breaks a promise."""

import numpy as np


class Violation(AssertionError):
    """A promise that did not hold, in one line."""


def check(promise: object, *told: object) -> None:
    """Raises a violation that tells what was seen."""
    if not promise:
        raise Violation(" ".join(map(str, told)))


def every(values: np.ndarray) -> bool:
    """Whether all of some truth values are true; for a few of them the quickest way."""
    return b"\0" not in values.tobytes()


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are equal in shape and values."""
    return one.shape == other.shape and every(one == other)
