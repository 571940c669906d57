"""The running sequences as arrays indexed by slot: a decode step touches no object per request."""

import math

import numpy as np
from numpy.typing import NDArray

from ..kvcache.group_table import Slots
from .frame import I32, I64
from .request import Times
from .waiting import Waiting

_NO_TOKEN = -1
_FIRST_STOP_WIDTH = 4


class SlotTable:
    """State of up to `max_num_seqs` sequences; entries of a free slot mean nothing.

    Positions 0 .. num_known - 1 are known here, those up to num_tokens are sampled by steps in
    flight; keys and values up to num_computed are planned, up to num_proven done and finite.
    """

    def __init__(self, max_num_seqs: int, max_model_len: int) -> None:
        self.max_model_len = max_model_len
        self.token_ids = np.zeros((max_num_seqs, max_model_len), np.int32)  # prompt, then output
        self.is_alive = np.zeros(max_num_seqs, np.bool_)
        self.num_prompt = np.zeros(max_num_seqs, np.int64)
        self.num_given = np.zeros(max_num_seqs, np.int64)  # known when it took the slot
        self.num_known = np.zeros(max_num_seqs, np.int64)
        self.num_tokens = np.zeros(max_num_seqs, np.int64)
        self.num_computed = np.zeros(max_num_seqs, np.int64)
        self.num_proven = np.zeros(max_num_seqs, np.int64)
        self.num_cached = np.zeros(max_num_seqs, np.int64)  # of the prompt, when it was admitted
        self.max_num_tokens = np.zeros(max_num_seqs, np.int64)  # prompt and output
        self.min_num_tokens = np.zeros(max_num_seqs, np.int64)  # before a stop token counts
        self.rank = np.zeros(max_num_seqs, np.int64)  # among those that run; 0 is the best
        self.tenant = np.zeros(max_num_seqs, np.intp)
        self.is_watched = np.zeros(max_num_seqs, np.bool_)
        self.is_masked = np.zeros(max_num_seqs, np.bool_)
        self.mask_at = np.zeros(max_num_seqs, np.int64)  # the position its mask is for
        self.num_unscored = np.zeros(max_num_seqs, np.int64)  # prompt tokens that want logprobs
        self.wants_logprobs = np.zeros(max_num_seqs, np.bool_)
        self.stop_ids = np.full((max_num_seqs, _FIRST_STOP_WIDTH), _NO_TOKEN, np.int32)
        self.first_token_s = np.full(max_num_seqs, np.nan)
        self.entries: list[Waiting | None] = [None] * max_num_seqs
        self.counting = np.arange(max_num_seqs + 1, dtype=np.int32)  # 0, 1, 2, ...
        self._num_silent = 0  # taken slots that have no token yet
        self._free = dict.fromkeys(range(max_num_seqs - 1, -1, -1))  # the last is the next to go

    @property
    def num_free(self) -> int:
        """Slots that no sequence has."""
        return len(self._free)

    def occupy(self, entry: Waiting, tenant: int, num_cached: int) -> int:
        """Puts a sequence with its known tokens, of which `num_cached` are computed, in a slot."""
        (slot, _), request = self._free.popitem(), entry.request
        num_prompt, num_known = len(request.prompt_token_ids), len(entry.token_ids)
        self.token_ids[slot, :num_known] = entry.token_ids
        self.is_alive[slot] = True
        self.num_prompt[slot] = num_prompt
        self.num_given[slot] = self.num_known[slot] = self.num_tokens[slot] = num_known
        self.num_computed[slot] = self.num_proven[slot] = self.num_cached[slot] = num_cached
        self.max_num_tokens[slot] = min(num_prompt + request.max_tokens, self.max_model_len)
        self.min_num_tokens[slot] = num_prompt + request.min_tokens
        self.tenant[slot] = tenant
        self.is_watched[slot] = request.watched
        self.is_masked[slot] = request.masked
        self.mask_at[slot] = entry.mask_at
        scores = request.sampling.num_prompt_logprobs is not None
        self.num_unscored[slot] = num_prompt - 1 - entry.num_scored if scores else 0
        self.wants_logprobs[slot] = scores or request.sampling.num_logprobs is not None
        self._set_stop_ids(slot, request.stop_token_ids)
        self.first_token_s[slot] = entry.first_token_s
        self._num_silent += math.isnan(entry.first_token_s)
        self.entries[slot] = entry
        return slot

    def vacate(self, slot: int) -> Waiting:
        """Ends a sequence; the slot stays taken until `free` gives it to others."""
        entry = self.entry(slot)
        self.entries[slot] = None
        self.is_alive[slot] = False
        self._num_silent -= math.isnan(self.first_token_s[slot])
        return entry

    def free(self, slot: int) -> None:
        """Lets another sequence have the slot: no step in flight speaks of it any more."""
        assert not self.is_alive[slot] and slot not in self._free, f"slot {slot} is in use"
        self._free[slot] = None

    def append(self, slots: Slots, token_ids: I32, now: float) -> NDArray[np.bool_]:
        """Adds the sampled token of each slot; gives which of them end by it."""
        place = self.num_known[slots]
        self.token_ids[slots, place] = token_ids
        if self._num_silent:
            self._note_first_tokens(slots, now)
        count = place + 1
        self.num_known[slots] = count
        is_stop = (self.stop_ids[slots] == token_ids[:, None]).any(axis=1)
        ends: NDArray[np.bool_] = is_stop & (place >= self.min_num_tokens[slots])
        ends |= count >= self.max_num_tokens[slots]
        return ends

    def remaining(self, slots: Slots) -> I64:
        """For each slot, the tokens that can be computed next; the very last never needs to be."""
        remaining = np.minimum(self.num_tokens[slots], self.max_num_tokens[slots] - 1)
        remaining -= self.num_computed[slots]
        masked = self.is_masked[slots]
        if masked.any():  # what follows the last token is sampled only with its mask
            remaining -= masked & (self.mask_at[slots] != self.num_tokens[slots])
        return remaining

    def is_stop(self, slot: int, token_id: int) -> bool:
        """Whether the slot's last token ends it as a stop token, and not by its length alone."""
        stops = token_id in self.entry(slot).request.stop_token_ids
        return stops and bool(self.num_known[slot] > self.min_num_tokens[slot])

    def entry(self, slot: int) -> Waiting:
        """What a slot was occupied with."""
        entry = self.entries[slot]
        assert entry is not None, f"slot {slot} is free"
        return entry

    def request_id(self, slot: int) -> str:
        """Whose slot it is."""
        return self.entry(slot).request.request_id

    def output_of(self, slot: int) -> list[int]:
        """The tokens generated so far."""
        token_ids: list[int] = self.known_of(slot)[self.num_prompt[slot] :].tolist()
        return token_ids

    def known_of(self, slot: int) -> I32:
        """Prompt and output so far; a view."""
        return self.token_ids[slot, : self.num_known[slot]]

    def times(self, slot: int, now: float) -> Times:
        """When the sequence came, spoke first, and ends: now."""
        return times_of(self.entry(slot).arrived_s, float(self.first_token_s[slot]), now)

    def _note_first_tokens(self, slots: Slots, now: float) -> None:
        first = slots[np.isnan(self.first_token_s[slots])]
        self.first_token_s[first] = now
        self._num_silent -= len(first)

    def _set_stop_ids(self, slot: int, stop_ids: tuple[int, ...]) -> None:
        missing = len(stop_ids) - self.stop_ids.shape[1]
        if missing > 0:
            wider = ((0, 0), (0, missing))
            self.stop_ids = np.pad(self.stop_ids, wider, constant_values=_NO_TOKEN)
        self.stop_ids[slot] = _NO_TOKEN
        self.stop_ids[slot, : len(stop_ids)] = stop_ids


def times_of(arrived_s: float, first_token_s: float, finished_s: float) -> Times:
    """`first_token_s` is not a number where there was none."""
    return Times(arrived_s, None if math.isnan(first_token_s) else first_token_s, finished_s)
