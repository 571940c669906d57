"""Who of those that wait is admitted to a step.

In the queue's order, while there are slots, budget and pages. One whose next page is being computed
by a running sequence waits for that page, and one whose mask has not come for the mask; meanwhile
others overtake.
"""

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
        grants, arrivals, overtaken = [grant], list[Arrival](), list[Waiting]()
        while table.num_free and budget.has_some and len(overtaken) < _MAX_OVERTAKEN:
            entry = self._waiting.peek()
            if entry is None:
                break
            num_hits = self._num_hit_pages(entry)
            if num_hits is None:
                overtaken.append(self._waiting.remove(entry.request.request_id))
                continue
            if not self._cache.has_room_for(entry.page_hashes, num_hits, len(entry.token_ids)):
                break
            slot, tokens = self._start(entry, num_hits, budget)
            grants.append(tokens)
            arrivals.append(_arrival(slot, entry, table.max_model_len))
        for entry in reversed(overtaken):
            self._waiting.push(entry, first=True)
        slots, granted = (np.concatenate(arrays) for arrays in zip(*grants, strict=True))
        return (slots, granted), tuple(arrivals)

    def _num_hit_pages(self, entry: Waiting) -> int | None:
        """Cached pages that a request can begin with; None if it waits for a page or its mask."""
        if self._may_share(entry):
            self._sequences.name_pages(entry, entry.token_ids)
        hashes = entry.page_hashes[: self._sequences.num_shareable_pages(entry)]
        num_hits = self._cache.match(hashes) if entry.request.reads_cache else 0
        if num_hits < len(hashes) and entry.request.reads_cache:
            return None if self._sequences.is_computing(hashes[num_hits]) else num_hits
        num_left = len(entry.token_ids) - num_hits * self._cache.page_size_tokens
        lacks_mask = entry.request.masked and entry.mask_at != len(entry.token_ids)
        return None if lacks_mask and num_left == 1 else num_hits

    def _may_share(self, entry: Waiting) -> bool:
        """Whether others have computed its first page, or are about to."""
        first = entry.page_hashes[:1]
        return any(self._cache.may_match(h) or self._sequences.is_computing(h) for h in first)

    def _start(self, entry: Waiting, num_hits: int, budget: Budget) -> tuple[int, Grant]:
        request, table = entry.request, self._sequences.table
        self._waiting.remove(request.request_id)
        slot = self._sequences.start(entry, self._tenants.index(request.tenant), num_hits)
        if not entry.was_preempted:
            entry.num_cached = int(table.num_cached[slot])
        slots, granted = budget.share(table, np.array([slot]))
        assert len(slots), "who is admitted gets tokens"
        has_pages = self._cache.reserve(slots, table.num_computed[slots] + granted)
        assert has_pages, "there was room for the whole sequence"
        return slot, (slots, granted)


def _arrival(slot: int, entry: Waiting, row_length: int) -> Arrival:
    request = entry.request
    sampling = request.sampling
    if entry.mask is not None:
        sampling = msgspec.structs.replace(sampling, mask=entry.mask)
    num_prompt = len(request.prompt_token_ids)
    return Arrival(slot, slot * row_length, entry.token_ids, num_prompt, sampling)
