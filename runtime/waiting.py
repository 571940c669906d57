"""The requests that wait for a slot, and who of them is next.

By priority; then those that were preempted, in the order of arrival; then the tenant that has been
served least, and of its requests the first that came. A tenant's service is the number of tokens
computed for it; one that comes back starts level with the least served of those that are here, so
being away saves nothing up.
Source: Sheng et al., Fairness in serving large language models (OSDI 2024), with equal weights.
"""

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field

import numpy as np

from ..kvcache.group_table import Slots
from .frame import I32, I64
from .request import Request

_NO_MASK = -1
_NAN = float("nan")


@dataclass(eq=False)
class Waiting:
    """A request with no slot: new, or preempted with what it had generated."""

    request: Request
    order: int  # of arrival
    arrived_s: float
    token_ids: I32  # prompt, and output if it was preempted
    page_hashes: list[bytes]  # of full pages of `token_ids`: of the first, or of every one
    first_token_s: float = _NAN
    num_cached: int = 0  # tokens of the prompt that were in the cache when it first started
    num_scored: int = 0  # prompt tokens whose logprobs have been reported
    mask_at: int = _NO_MASK  # the position that `mask` is for
    mask: I32 | None = None
    was_preempted: bool = False

    @property
    def rank_key(self) -> tuple[int, int]:
        """Whoever has the lower one goes first, and is the last to give way."""
        return self.request.priority, self.order


@dataclass
class _Level:
    """The waiting requests of one priority, by id and in order."""

    preempted: OrderedDict[str, Waiting] = field(default_factory=OrderedDict)
    by_tenant: defaultdict[str, OrderedDict[str, Waiting]] = field(
        default_factory=lambda: defaultdict(OrderedDict)
    )


class Tenants:
    """The service of every tenant that has a request, in an array so that a step charges all."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._num_requests: dict[str, int] = {}
        self._free: list[int] = []
        self._service = np.zeros(1)

    def __len__(self) -> int:
        return len(self._ids)

    def enter(self, tenant: str) -> None:
        """A request of the tenant has come."""
        if tenant not in self._ids:
            level = min((self.service(other) for other in self._ids), default=0.0)
            index = self._free.pop() if self._free else len(self._ids)
            if index == len(self._service):
                self._service = np.append(self._service, np.zeros(index))
            self._ids[tenant] = index
            self._num_requests[tenant] = 0
            self._service[index] = level
        self._num_requests[tenant] += 1

    def leave(self, tenant: str) -> None:
        """A request of the tenant has ended."""
        self._num_requests[tenant] -= 1
        if self._num_requests[tenant] == 0:
            del self._num_requests[tenant]
            self._free.append(self._ids.pop(tenant))

    def index(self, tenant: str) -> int:
        """Its place in the array, as long as it has a request."""
        return self._ids[tenant]

    def service(self, tenant: str) -> float:
        """Tokens computed for it, counted from the level at which it came."""
        return float(self._service[self._ids[tenant]])

    def charge(self, tenants: Slots, num_tokens: I64) -> None:
        """Adds `num_tokens[i]` to the tenant with the index `tenants[i]`."""
        if len(self._ids) > 1:
            self._service += np.bincount(tenants, num_tokens, len(self._service))


class WaitingQueue:
    """Who waits; adding and taking away cost the same however many there are."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._levels: defaultdict[int, _Level] = defaultdict(_Level)
        self._entries: dict[str, Waiting] = {}
        self.num_tokens = 0  # known of all that wait

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._entries

    def get(self, request_id: str) -> Waiting | None:
        """The waiting request of an id."""
        return self._entries.get(request_id)

    def push(self, entry: Waiting, first: bool = False) -> None:
        """Adds a request behind those of its kind, or before them."""
        request_id = entry.request.request_id
        line = self._line(entry)
        line[request_id] = entry
        if first:
            line.move_to_end(request_id, last=False)
        self._entries[request_id] = entry
        self.num_tokens += len(entry.token_ids)

    def peek(self) -> Waiting | None:
        """Who is next."""
        if not self._entries:
            return None
        level = self._levels[min(self._levels)]
        if level.preempted:
            return min(level.preempted.values(), key=lambda entry: entry.order)
        tenant = min(level.by_tenant, key=self._tenants.service)
        return next(iter(level.by_tenant[tenant].values()))

    def remove(self, request_id: str) -> Waiting:
        """Takes a request out."""
        entry = self._entries.pop(request_id)
        self.num_tokens -= len(entry.token_ids)
        priority, tenant = entry.request.priority, entry.request.tenant
        level = self._levels[priority]
        del self._line(entry)[request_id]
        if not entry.was_preempted and not level.by_tenant[tenant]:
            del level.by_tenant[tenant]
        if not level.preempted and not level.by_tenant:
            del self._levels[priority]
        return entry

    def _line(self, entry: Waiting) -> OrderedDict[str, Waiting]:
        level = self._levels[entry.request.priority]
        return level.preempted if entry.was_preempted else level.by_tenant[entry.request.tenant]
