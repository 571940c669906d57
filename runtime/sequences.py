"""The sequences that have a slot, with their pages: where they start, are proven, and end.

Pages of a sequence enter the prefix index when a step that computed them has reported, its row of
logits finite: those of what it took its slot with at once, for others wait for them; those of what
it says from then on when it ends.
"""

from bisect import insort
from collections import deque
from collections.abc import Sequence

import numpy as np

from ..kvcache.cache import PagedCache
from ..kvcache.group_table import Slots
from ..kvcache.hashing import page_hashes
from .flight import Flight
from .frame import I32
from .slots import SlotTable
from .waiting import Waiting

_NO_SLOTS: Slots = np.zeros(0, np.intp)


class Sequences:
    """One sequence a slot; `running` holds the slots from the best rank to the worst."""

    def __init__(self, cache: PagedCache, max_num_seqs: int, max_model_len: int) -> None:
        self.cache = cache
        self.table = SlotTable(max_num_seqs, max_model_len)
        self.running: Slots = _NO_SLOTS
        self.slot_of: dict[str, int] = {}
        self._num_registered = [0] * max_num_seqs  # pages of each slot that are in the index
        self._computing: dict[bytes, int] = {}  # given pages to come, and the slot they come from
        self._started: list[int] = []  # slots whose prompts may have pages without a hash
        self._leaving: deque[tuple[int, int]] = deque()  # (last step that knows it, slot)

    def start(self, entry: Waiting, tenant: int, num_hit_pages: int) -> int:
        """Gives a request a slot that begins with cached pages; its rank comes later."""
        cache = self.cache
        hits = entry.page_hashes[:num_hit_pages]
        slot = self.table.occupy(entry, tenant, num_hit_pages * cache.page_size_tokens)
        if hits:
            cache.attach(slot, hits)
        self.slot_of[entry.request.request_id] = slot
        self._num_registered[slot] = num_hit_pages
        self._note_computing(slot, entry)
        self._started.append(slot)
        return slot

    def rank_started(self, slots: Sequence[int]) -> None:
        """Those that have just started run from now on, each at its rank."""
        order = self.running.tolist()
        for slot in slots:
            insort(order, slot, key=self._rank_key)
        self._set_running(np.array(order, np.intp))

    def name_started(self) -> None:
        """Hashes the pages of what the last plan has started that have no hash yet.

        A prompt whose first page nobody has needs no other hash to start. So its first step is on
        its way when they are made.
        """
        started, self._started = self._started, []
        for slot in started:
            entry = self.table.entry(slot)
            self.name_pages(entry, entry.token_ids)
            self._note_computing(slot, entry)

    def name_pages(self, entry: Waiting, token_ids: I32) -> None:
        """Adds the hashes of the full pages of `token_ids`, from its start, that have none yet."""
        size, hashes = self.cache.page_size_tokens, entry.page_hashes
        salt = entry.request.cache_salt
        new = token_ids[len(hashes) * size :]
        if salt is not None and len(new) >= size:
            previous = hashes[-1] if hashes else None
            entry.page_hashes = hashes + page_hashes(new, size, salt, previous)

    def num_shareable_pages(self, entry: Waiting) -> int:
        """The pages of what is known that another may compute: not that of the last token, whose
        logits are needed."""
        return (len(entry.token_ids) - 1) // self.cache.page_size_tokens

    def is_computing(self, page_hash: bytes) -> bool:
        """Whether a running sequence is about to compute this page, and others may wait for it."""
        return page_hash in self._computing

    def prove(self, flight: Flight) -> None:
        """The step has reported: what it computed of the sequences that still live is finite."""
        table = self.table
        is_alive = table.is_alive[flight.slots]
        all_alive = bool(is_alive.all())
        slots = flight.slots if all_alive else flight.slots[is_alive]
        table.num_proven[slots] = flight.ends if all_alive else flight.ends[is_alive]
        for slot in flight.of_given[table.is_alive[flight.of_given]].tolist():
            self._register(slot)
        self.cache.trim(slots, table.num_proven[slots], None)

    def end(self, slot: int, last_step_id: int | None, is_finite: bool = True) -> Waiting:
        """Takes a sequence's pages and slot away.

        No other sequence gets them before the step `last_step_id` has reported.
        """
        entry = self.table.entry(slot)
        if is_finite:
            self.name_pages(entry, self.table.token_ids[slot, : self.table.num_proven[slot]])
            self._register(slot)
        else:
            self.cache.forget(slot)
        self._stop_computing(slot, entry)
        if slot in self._started:
            self._started.remove(slot)
        self.cache.release(slot, last_step_id)
        del self.slot_of[entry.request.request_id]
        self._set_running(self.running[self.running != slot])
        self.table.vacate(slot)
        if last_step_id is None:
            self.table.free(slot)
        else:
            self._leaving.append((last_step_id, slot))
        return entry

    def settle(self, step_id: int) -> None:
        """The steps up to this one have reported: what they alone held back is free."""
        self.cache.settle(step_id)
        while self._leaving and self._leaving[0][0] <= step_id:
            self.table.free(self._leaving.popleft()[1])

    def _set_running(self, running: Slots) -> None:
        self.running = running
        self.table.rank[running] = self.table.counting[: len(running)]

    def _rank_key(self, slot: int) -> tuple[int, int]:
        return self.table.entry(slot).rank_key

    def _register(self, slot: int) -> None:
        """Puts the pages that are full and proven into the index."""
        entry, first = self.table.entry(slot), self._num_registered[slot]
        num_full = int(self.table.num_proven[slot]) // self.cache.page_size_tokens
        new = entry.page_hashes[first:num_full]
        if new:
            self.cache.register(slot, first, new)
            self._num_registered[slot] = first + len(new)
        for page_hash in new:
            if self._computing.get(page_hash) == slot:
                del self._computing[page_hash]

    def _note_computing(self, slot: int, entry: Waiting) -> None:
        """Others that begin with these pages wait for them."""
        first, end = self._num_registered[slot], self.num_shareable_pages(entry)
        for page_hash in entry.page_hashes[first:end]:
            self._computing.setdefault(page_hash, slot)

    def _stop_computing(self, slot: int, entry: Waiting) -> None:
        for page_hash in entry.page_hashes[self._num_registered[slot] :]:
            if self._computing.get(page_hash) == slot:
                del self._computing[page_hash]
