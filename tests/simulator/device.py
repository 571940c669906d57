"""An executor whose pages hold tags: a page that is stale, foreign or unwritten changes a token.

Steps run when they are submitted, in order, as on one device; their results are told later.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from tapeout.runtime.frame import Arrival, Frame, Logprobs, StepResult

from .model import U64, WEIGHTS, choose, embed, mix, noise, penalty
from .trace import Config
from .violation import check

POISON = 1  # the state that is not a number
_STATE = np.uint64(POISON)


class Person(NamedTuple):
    """What the device itself knows of a request."""

    salt: int
    nan_at: int | None


class Device:
    """Tables by slot, pages by group and layer, results not told yet.

    It knows a request by its `top_k`, for which this model has no other use.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.persons: dict[int, Person] = {}
        self.spoiled: set[int] = set()  # whose states were not numbers
        self.glitched: set[int] = set()  # those of them who did nothing to deserve it
        self.results: deque[StepResult] = deque()
        self.groups = config.layer_groups
        self._in_page = np.arange(config.page_size_tokens)
        self.lose()

    def lose(self) -> None:
        """Its memory is garbage, and no step in flight reports."""
        config, chance = self.config, np.random.default_rng(7)
        size = config.max_num_seqs * config.max_model_len
        self.token_table = chance.integers(0, 1000, size, np.int32)
        self.pages = [
            np.zeros((config.num_pages[group], config.page_size_tokens), np.uint64)
            for group in self.groups
        ]
        self.arrivals: dict[int, Arrival] = {}  # by slot
        self.identity = np.full(config.max_num_seqs, -1)
        self.salts = np.zeros(config.max_num_seqs, np.uint64)
        self.masks: dict[int, list[int]] = {}
        self.nan_positions: dict[int, int] = {}
        self.special: set[int] = set()  # slots whose choice is more than the state
        self.results.clear()

    def submit(self, frame: Frame, glitch: int | None) -> None:
        """Runs a step; the states of sequence `glitch` come out as no numbers."""
        for arrival in frame.arrivals:
            self._arrive(arrival)
        for slot, mask in frame.masks:
            self.masks[slot] = (mask.astype(np.int64) & 0xFFFFFFFF).tolist()
            self.special.add(slot)
        self._check_logprobs(frame)
        state = self._forward(frame, self._embed(frame, glitch))
        self.results.append(self._sample(frame, state[frame.logit_rows]))

    def _check_logprobs(self, frame: Frame) -> None:
        """Logprobs are computed just when some row is of a request that wants them."""
        told = [self.arrivals[slot].sampling for slot in set(frame.sample_slots.tolist())]
        wanted = any((s.num_logprobs, s.num_prompt_logprobs) != (None, None) for s in told)
        check(frame.wants_logprobs == wanted, "logprobs are wanted:", wanted)

    def slots(self, frame: Frame) -> np.ndarray:
        """The slot of each sequence of a frame."""
        return frame.token_places[frame.query_start[:-1]] // self.config.max_model_len

    def _arrive(self, arrival: Arrival) -> None:
        slot, first, sampling = arrival.slot, arrival.first_place, arrival.sampling
        self.token_table[first : first + len(arrival.token_ids)] = arrival.token_ids
        self.arrivals[slot] = arrival
        self.identity[slot] = sampling.top_k
        person = self.persons[sampling.top_k]
        self.salts[slot] = person.salt
        self.masks.pop(slot, None)
        self.special.discard(slot)
        self.nan_positions.pop(slot, None)
        if person.nan_at is not None:
            self.nan_positions[slot] = person.nan_at
        if sampling.mask is not None:
            self.masks[slot] = (sampling.mask.astype(np.int64) & 0xFFFFFFFF).tolist()
        if sampling.mask is not None or sampling.temperature or sampling.frequency_penalty:
            self.special.add(slot)

    def _embed(self, frame: Frame, glitch: int | None) -> U64:
        slots = frame.token_places // self.config.max_model_len
        tokens = self.token_table[frame.token_places]
        state = embed(tokens, frame.positions, self.salts[slots])
        for slot, position in self.nan_positions.items():
            hit = (slots == slot) & (frame.positions >= position)
            if hit.any():
                self._spoil(state, hit, slot)
        if glitch is not None:
            sequence = glitch % len(frame.context_lengths)
            slot = int(self.slots(frame)[sequence])
            self._spoil(state, frame.sequence_ids == sequence, slot)
            self.glitched.add(int(self.identity[slot]))
        return state

    def _spoil(self, state: U64, hit: np.ndarray, slot: int) -> None:
        state[hit] = _STATE
        self.spoiled.add(int(self.identity[slot]))

    def _forward(self, frame: Frame, state: U64) -> U64:
        size = self.config.page_size_tokens
        offsets, columns = frame.positions % size, frame.positions // size
        views = [self._view(frame, g) for g in range(len(self.config.windows))]
        for layer, group in enumerate(self.groups):
            pages, seen = self.pages[layer], views[group]
            table = frame.block_tables[group]
            pages[table[frame.sequence_ids, columns], offsets] = state
            entries = pages[table].reshape(len(table), -1)[frame.sequence_ids]
            entries *= seen
            num_unwritten = np.count_nonzero(seen) - np.count_nonzero(entries)
            check(not num_unwritten, num_unwritten, "entries are seen that nobody wrote")
            is_spoiled = (entries == _STATE).any(axis=1)
            entries *= WEIGHTS[: entries.shape[1]]
            before, state = state, mix(state + entries.sum(axis=1))
            state[is_spoiled | (before == _STATE)] = _STATE
        return state

    def _view(self, frame: Frame, group: int) -> np.ndarray:
        """bool[T, P * page_size_tokens]: what each token sees of its block table."""
        width = frame.block_tables[group].shape[1] * self.config.page_size_tokens
        distance = frame.positions[:, None] - np.arange(width)
        window = self.config.windows[group]
        return (distance >= 0) & (distance < (width if window is None else window))

    def _sample(self, frame: Frame, state: U64) -> StepResult:
        is_spoiled = state == _STATE
        if np.count_nonzero(is_spoiled):
            hurt = set(self.identity[frame.sample_slots[is_spoiled]].tolist())
            check(hurt <= self.spoiled, hurt - self.spoiled, "caught what is not a number")
        if self.special:
            state = state.copy()
        chosen = (state % np.uint64(1000)).astype(np.int32)
        if self.special:
            for row, slot in enumerate(frame.sample_slots.tolist()):
                if slot in self.special:
                    chosen[row] = self._choose(slot, int(state[row]), frame, row)
        known = frame.targets >= 0
        chosen = np.where(known, frame.targets, chosen)
        stored = np.where(is_spoiled & ~known, 0, chosen)
        self.token_table[frame.sample_places] = stored
        chosen[is_spoiled] = -1
        rows = len(chosen)
        logprobs = None
        if frame.wants_logprobs:
            logprobs = Logprobs(
                chosen.astype(np.float32),
                np.ones(rows, np.int32),
                np.zeros((rows, 1), np.int32),
                np.zeros((rows, 1), np.float32),
            )
        return StepResult(frame.step_id, chosen, logprobs)

    def _choose(self, slot: int, state: int, frame: Frame, row: int) -> int:
        arrival, position = self.arrivals[slot], int(frame.sample_positions[row])
        sampling = arrival.sampling
        if sampling.temperature:
            state += noise(sampling.seed, position)
        if sampling.frequency_penalty:
            first = slot * self.config.max_model_len
            state += penalty(
                self.token_table[first : first + position].tolist(), arrival.num_prompt_tokens
            )
        return choose(state & ((1 << 64) - 1), self.masks.get(slot))
