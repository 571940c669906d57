"""Who of those that wait is admitted to a step.

In the queue's order, while there are slots, budget and pages. One whose next page is being computed
by a running sequence waits for that page, and one whose mask has not come for the mask; meanwhile
others overtake.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from .frame import Arrival
from .grants import Budget, Grant
from .sequences import Sequences
from .waiting import Tenants, Waiting, WaitingQueue

_MAX_OVERTAKEN = 64  # waiting requests in one step, so that a step looks at a bounded number


class Admission:
    """Moves requests from the queue into slots."""

    def __init__(self, sequences: Sequences, waiting: WaitingQueue, tenants: Tenants) -> None:
        self._sequences, self._waiting, self._tenants = sequences, waiting, tenants
        self._cache = sequences.cache

    def admit(self, budget: Budget, grant: Grant) -> tuple[Grant, tuple[Arrival, ...]]:
        """Adds who is admitted to `grant`; gives what the executor must know of them."""
        table = self._sequences.table
        new, arrivals, overtaken = list[tuple[int, int]](), list[Arrival](), list[Waiting]()
        num_promised = 0  # pages of each group, to those that have just started
        while table.num_free and budget.has_some and len(overtaken) < _MAX_OVERTAKEN:
            entry = self._waiting.peek()
            if entry is None:
                break
            num_hits = self._num_hit_pages(entry)
            if num_hits is None:
                overtaken.append(self._waiting.remove(entry.request.request_id))
                continue
            num_tokens = len(entry.token_ids)
            if not self._cache.has_room_for(entry.page_hashes, num_hits, num_tokens, num_promised):
                break
            slot, granted = self._start(entry, num_hits, budget)
            new.append((slot, granted))
            num_promised += self._cache.num_pages_of(granted)
            arrivals.append(_arrival(slot, entry, table.max_model_len))
        for entry in reversed(overtaken):
            self._waiting.push(entry, first=True)
        return self._extended(grant, new) if new else grant, tuple(arrivals)

    def _num_hit_pages(self, entry: Waiting) -> int | None:
        """Cached pages that a request can begin with; None if it waits for a page or its mask."""
        if self._may_share(entry):
            self._sequences.name_pages(entry, entry.token_ids)
        hashes = entry.page_hashes[: self._sequences.num_shareable_pages(entry)]
        num_hits = self._cache.match(hashes) if entry.request.reads_cache else 0
        if num_hits < len(hashes) and entry.request.reads_cache:
            return None if self._sequences.is_computing(hashes[num_hits]) else num_hits
        return num_hits if self._num_wanted(entry, num_hits) else None

    def _num_wanted(self, entry: Waiting, num_hits: int) -> int:
        """The tokens that can be computed of a request; the last one's only with its mask."""
        lacks_mask = entry.request.masked and entry.mask_at != len(entry.token_ids)
        return len(entry.token_ids) - num_hits * self._cache.page_size_tokens - lacks_mask

    def _may_share(self, entry: Waiting) -> bool:
        """Whether others have computed its first page, or are about to."""
        if not entry.page_hashes:
            return False
        first = entry.page_hashes[0]
        return self._sequences.is_computing(first) or self._cache.may_match(first)

    def _start(self, entry: Waiting, num_hits: int, budget: Budget) -> tuple[int, int]:
        request, table = entry.request, self._sequences.table
        self._waiting.remove(request.request_id)
        slot = self._sequences.start(entry, self._tenants.index(request.tenant), num_hits)
        if not entry.was_preempted:
            entry.num_cached = int(table.num_cached[slot])
        granted = budget.take(table, slot, self._num_wanted(entry, num_hits))
        assert granted, "who is admitted gets tokens"
        return slot, granted

    def _extended(self, grant: Grant, new: Sequence[tuple[int, int]]) -> Grant:
        """The grant with those that have just started, who get their pages and their rank."""
        pairs = np.array(new)
        slots, granted = pairs[:, 0], pairs[:, 1]
        self._sequences.rank_started(slots.tolist())
        ends = self._sequences.table.num_computed[slots] + granted
        has_pages = self._cache.reserve(slots, ends)
        assert has_pages, "there was room for each whole sequence"
        return np.concatenate([grant[0], slots]), np.concatenate([grant[1], granted])


def _arrival(slot: int, entry: Waiting, row_length: int) -> Arrival:
    request = entry.request
    sampling = request.sampling
    if entry.mask is not None:
        sampling = msgspec.structs.replace(sampling, mask=entry.mask)
    num_prompt = len(request.prompt_token_ids)
    return Arrival(slot, slot * row_length, entry.token_ids, num_prompt, sampling)
