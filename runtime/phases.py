"""How long the parts of a load take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Phases(dict[str, float]):
    """Seconds, by what was done, in order."""

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds what a block takes."""
        started_s = time.perf_counter()
        yield
        self[what] = time.perf_counter() - started_s
