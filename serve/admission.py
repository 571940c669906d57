"""Who may come in: a bounded number of sequences and of prompt tokens, decided at once, here.

A front that knows no more than its own requests can refuse without asking the engine, in the time
that it takes to read the request. With several fronts each has an equal share.
"""

from collections import Counter
from collections.abc import Callable
from math import ceil
from time import monotonic

from .api_errors import ApiError
from .options import ServeOptions

_MAX_RETRY_S = 60
_SMOOTHING = 0.05


class Admission:
    """Counts what has been let in and has not left."""

    def __init__(self, options: ServeOptions, clock: Callable[[], float] = monotonic) -> None:
        self._options, self._clock = options, clock
        self.num_slots = options.max_num_seqs or 0  # of the engine, once it is known
        self.num_sequences = self.num_tokens = 0
        self._num_of_key: Counter[str] = Counter()
        self._left_s: float | None = None
        self._interval_s = 1.0  # from one sequence that leaves to the next, smoothed

    def check_room(self, num_sequences: int, num_tokens: int) -> None:
        """Raises ApiError, with when to come again, for more than there is room for."""
        options, num_fronts = self._options, self._options.num_fronts
        most = ceil((self.num_slots + options.max_num_waiting) / num_fronts)
        over = self.num_sequences + num_sequences - most
        if over > 0:
            raise self._refusal("max_num_waiting", options.max_num_waiting, over)
        if options.max_prompt_tokens is None or self.num_sequences == 0:
            return
        if self.num_tokens + num_tokens > ceil(options.max_prompt_tokens / num_fronts):
            raise self._refusal("max_prompt_tokens", options.max_prompt_tokens, 1)

    def enter_key(self, tenant: str) -> Callable[[], None]:
        """Lets a request of a key in; gives what is to be called once it has ended.

        Raises ApiError if the key has as many as it may.
        """
        most = self._options.max_requests_per_key
        if most is not None and self._num_of_key[tenant] >= ceil(most / self._options.num_fronts):
            raise ApiError(
                429,
                f"the API key has max_requests_per_key={most} requests already; try again later",
                kind="rate_limit_error",
                code="too_many_requests",
                retry_after_s=1,
            )
        self._num_of_key[tenant] += 1

        def leave() -> None:
            self._num_of_key[tenant] -= 1

        return leave

    def enter(self, num_sequences: int, num_tokens: int) -> "Admitted":
        """Lets a request in. Raises ApiError where `check_room` does."""
        self.check_room(num_sequences, num_tokens)
        self.num_sequences += num_sequences
        self.num_tokens += num_tokens
        return Admitted(self, num_sequences, num_tokens)

    def leave(self, num_sequences: int, num_tokens: int) -> None:
        """A request has ended; how fast they do tells the next when to come again."""
        self.num_sequences -= num_sequences
        self.num_tokens -= num_tokens
        now_s = self._clock()
        if self._left_s is not None:
            interval_s = (now_s - self._left_s) / num_sequences
            self._interval_s += _SMOOTHING * (interval_s - self._interval_s)
        self._left_s = now_s

    def _refusal(self, name: str, limit: int, over: int) -> ApiError:
        retry_s = min(_MAX_RETRY_S, max(1, ceil(over * self._interval_s)))
        return ApiError(
            503,
            f"the queue is full, {name}={limit}; try again in {retry_s} s",
            kind="overloaded_error",
            code="queue_full",
            retry_after_s=retry_s,
        )


class Admitted:
    """A request that is in; `leave` once it has ended."""

    def __init__(self, admission: Admission, num_sequences: int, num_tokens: int) -> None:
        self._admission, self._counts = admission, (num_sequences, num_tokens)

    def leave(self) -> None:
        """Gives its place to another."""
        self._admission.leave(*self._counts)
