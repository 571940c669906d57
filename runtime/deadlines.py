"""Which requests have run out of time."""

import heapq
from collections.abc import Callable, Iterator

_SPARE = 64

DeadlineOf = Callable[[str], float | None]
"""The deadline of an unfinished request; None for any other."""


class Deadlines:
    """A heap of (deadline, request id); a request that has ended stays in it for a while."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._max_size = _SPARE

    def add(self, deadline_s: float, request_id: str, deadline_of: DeadlineOf) -> None:
        """Notes a request's end; those that have ended leave before the heap doubles."""
        if len(self._heap) >= self._max_size:
            self._heap = [entry for entry in self._heap if deadline_of(entry[1]) == entry[0]]
            heapq.heapify(self._heap)
            self._max_size = 2 * len(self._heap) + _SPARE
        heapq.heappush(self._heap, (deadline_s, request_id))

    def passed(self, now: float, deadline_of: DeadlineOf) -> Iterator[str]:
        """The unfinished requests whose deadline has come; each is given once."""
        while self._heap and self._heap[0][0] <= now:
            deadline_s, request_id = heapq.heappop(self._heap)
            if deadline_of(request_id) == deadline_s:
                yield request_id
