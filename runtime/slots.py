"""The running sequences as arrays indexed by slot: a decode step touches no object per request."""

import math

import numpy as np
from numpy.typing import NDArray

from ..kvcache.group_table import Slots
from .frame import I32, I64
from .request import Request

_NO_TOKEN = -1
_FIRST_STOP_WIDTH = 4


class SlotTable:
    """State of up to `max_num_seqs` sequences; entries of a free slot mean nothing."""

    def __init__(self, max_num_seqs: int, max_model_len: int) -> None:
        self.max_model_len = max_model_len
        self.token_ids = np.zeros((max_num_seqs, max_model_len), np.int32)  # prompt, then output
        self.num_prompt = np.zeros(max_num_seqs, np.int64)
        self.num_tokens = np.zeros(max_num_seqs, np.int64)  # known so far
        self.num_computed = np.zeros(max_num_seqs, np.int64)  # whose keys and values are cached
        self.max_num_tokens = np.zeros(max_num_seqs, np.int64)  # prompt and output
        self.temperature = np.zeros(max_num_seqs, np.float32)
        self.seed = np.zeros(max_num_seqs, np.int64)
        self.watched = np.zeros(max_num_seqs, np.bool_)
        self.stop_ids = np.full((max_num_seqs, _FIRST_STOP_WIDTH), _NO_TOKEN, np.int32)
        self.arrived_s = np.zeros(max_num_seqs, np.float64)
        self.first_token_s = np.full(max_num_seqs, np.nan)
        self.counting = np.arange(max_num_seqs + 1, dtype=np.int32)  # 0, 1, 2, ...
        self.requests: list[Request | None] = [None] * max_num_seqs
        self._num_silent = 0  # taken slots that have no token yet
        self._free = list(range(max_num_seqs - 1, -1, -1))

    @property
    def num_free(self) -> int:
        """Slots that no sequence has."""
        return len(self._free)

    def occupy(self, request: Request, token_ids: I32, times: tuple[float, float]) -> int:
        """Puts a sequence with its known tokens, none computed, into a free slot."""
        slot = self._free.pop()
        num_prompt, num_tokens = len(request.prompt_token_ids), len(token_ids)
        self.token_ids[slot, :num_tokens] = token_ids
        self.num_prompt[slot] = num_prompt
        self.num_tokens[slot] = num_tokens
        self.num_computed[slot] = 0
        self.max_num_tokens[slot] = min(num_prompt + request.max_tokens, self.max_model_len)
        self.temperature[slot] = request.temperature
        self.seed[slot] = request.seed
        self.watched[slot] = request.watched
        self._set_stop_ids(slot, request.stop_token_ids)
        self.arrived_s[slot], self.first_token_s[slot] = times
        self._num_silent += math.isnan(times[1])
        self.requests[slot] = request
        return slot

    def vacate(self, slot: int) -> Request:
        """Frees a slot and gives the request that had it."""
        request = self.requests[slot]
        assert request is not None, f"slot {slot} is free"
        self.requests[slot] = None
        self._num_silent -= math.isnan(self.first_token_s[slot])
        self._free.append(slot)
        return request

    def append(self, slots: Slots, token_ids: I32, now: float) -> NDArray[np.bool_]:
        """Adds one token to each slot; gives which of them end by it."""
        count = self.num_tokens[slots]
        self.token_ids[slots, count] = token_ids
        if self._num_silent:
            self._note_first_tokens(slots, now)
        count += 1
        self.num_tokens[slots] = count
        is_stop = (self.stop_ids[slots] == token_ids[:, None]).any(axis=1)
        ends: NDArray[np.bool_] = is_stop | (count >= self.max_num_tokens[slots]) | (token_ids < 0)
        return ends

    def output_of(self, slot: int) -> list[int]:
        """The tokens generated so far."""
        token_ids: list[int] = self.known_of(slot)[self.num_prompt[slot] :].tolist()
        return token_ids

    def known_of(self, slot: int) -> I32:
        """Prompt and output so far; a view."""
        return self.token_ids[slot, : self.num_tokens[slot]]

    def remaining(self, slots: Slots) -> I64:
        """For each slot, the known tokens that are not computed yet; at least one."""
        return self.num_tokens[slots] - self.num_computed[slots]

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
