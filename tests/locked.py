"""A lock that all workers of a test run see."""

import fcntl
from contextlib import contextmanager


@contextmanager
def locked(path):
    """Holds a lock that all workers of the run see."""
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
