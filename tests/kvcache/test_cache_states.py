"""Long random walks through all that a scheduler may do, with a model of what is in every page.

A step is planned, and done later; only then are its tokens written, to the pages that its tables
named when it was planned. The entry of a token is the tuple of all tokens up to it, so that a page
which is stale, foreign, written by two or not written at all shows when a sequence reads it.
"""

from collections import Counter, deque
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cache import Group

from tapeout.kvcache.cache import PagedCache
from tapeout.kvcache.hashing import page_hashes

PAGE, NUM_SLOTS, WIDTH, MAX_STEP = 2, 3, 8, 6
LONGEST = PAGE * WIDTH
WINDOWS = (None, None, None, 1, 2, 3, 5, 8)
MAX_IN_FLIGHT = 3


@dataclass(eq=False)
class Sequence:
    tokens: list[int]
    salt: bytes
    num_planned: int  # tokens, in steps up to the last one planned
    num_done: int = 0  # in steps that are reported
    num_registered: int = 0  # pages

    def hashes(self, num_tokens):
        return page_hashes(np.array(self.tokens[:num_tokens], np.int32), PAGE, self.salt)

    def entry(self, position):
        """All that tells keys and values at a position from others."""
        return (self.salt, *self.tokens[: position + 1])


@dataclass
class Step:
    """Tokens `starts[i]` to before `ends[i]` of sequence i, and where their pages were."""

    step_id: int
    slots: list[int]
    sequences: list[Sequence]
    starts: list[int]
    ends: list[int]
    tables: tuple[np.ndarray, ...]


class Walk:
    """Slots, pages and steps in flight, all drawn from one seed."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.windows = self.random.sample(WINDOWS, self.random.randint(1, 3))
        self.counts = [self.random.randint(2, 24) for _ in self.windows]
        self.cache = PagedCache(
            [Group(page_size_tokens=PAGE, window=window) for window in self.windows],
            self.counts,
            NUM_SLOTS,
            WIDTH,
            self.random.random() < 0.8,
            MAX_STEP,
        )
        self.contents = [np.empty((count, PAGE), object) for count in self.counts]
        self.slots: list[Sequence | None] = [None] * NUM_SLOTS
        self.in_flight: deque[Step] = deque()
        self.num_steps = 0
        self.seen = Counter()

    def go(self, num_actions):
        actions = [self.arrive, self.plan, self.report, self.end, self.lose_everything]
        for action in self.random.choices(actions, (20, 40, 30, 6, 1), k=num_actions):
            action()
            self.cache.check_integrity()
            self.check_what_can_be_seen()
            self.check_steps_in_flight()
        self.finish()

    @property
    def fence(self):
        return self.num_steps - 1 if self.in_flight else None

    @property
    def taken(self):
        return [slot for slot in range(NUM_SLOTS) if self.slots[slot]]

    # ---- what a scheduler does ----

    def arrive(self):
        if None not in self.slots:
            return
        slot, random = self.slots.index(None), self.random
        tokens = [0] * random.randint(0, 9) + random.choices([0, 1], k=random.randint(1, 7))
        sequence = Sequence(tokens, random.choice([b"", b"", b"own"]), 0)
        usable = sequence.hashes(len(tokens) - 1)
        hit = self.cache.match(usable)
        has_room = self.cache.has_room_for(usable, hit, len(tokens))
        self.cache.attach(slot, usable[:hit])
        sequence.num_planned = sequence.num_done = hit * PAGE
        sequence.num_registered = hit
        self.slots[slot] = sequence
        self.seen["hits"] += hit > 0
        first_chunk = min(len(tokens), hit * PAGE + MAX_STEP)
        if not self.cache.reserve(np.array([slot]), np.array([first_chunk])):
            assert not has_room
        elif not any(self.windows) and first_chunk == len(tokens):
            assert has_room

    def plan(self):
        slots, starts, ends, left = [], [], [], MAX_STEP
        most = self.random.randint(1, MAX_STEP)
        for slot in self.random.sample(self.taken, self.random.randint(0, len(self.taken))):
            sequence = self.slots[slot]
            if sequence.num_planned == len(sequence.tokens) < LONGEST:
                sequence.tokens.append(self.random.randint(0, 1))
            count = min(len(sequence.tokens) - sequence.num_planned, most, left)
            if count > 0:
                slots.append(slot)
                starts.append(sequence.num_planned)
                ends.append(sequence.num_planned + count)
                left -= count
        if slots and len(self.in_flight) < MAX_IN_FLIGHT:
            self.plan_chunks(slots, starts, ends)

    def plan_chunks(self, slots, starts, ends):
        if self.random.random() < 0.8:
            self.cache.trim(np.array(slots), np.array(starts), self.fence)
        can_wait = self.cache.can_wait_for(np.array(slots), np.array(ends))
        free = self.cache.num_free_pages()
        if not self.cache.reserve(np.array(slots), np.array(ends)):
            assert self.cache.num_free_pages() == free
            assert self.in_flight or not can_wait
            self.seen["refusals"] += 1
            return
        assert can_wait
        sequences = [self.slots[slot] for slot in slots]
        for sequence, end in zip(sequences, ends, strict=True):
            sequence.num_planned = end
        tables = self.cache.block_tables(np.array(slots))
        self.in_flight.append(Step(self.num_steps, slots, sequences, starts, ends, tables))
        self.num_steps += 1

    def report(self):
        if not self.in_flight:
            return
        step = self.in_flight.popleft()
        self.write(step)
        self.read(step)
        spoiled = self.random.choice(step.slots) if self.random.random() < 0.05 else None
        for slot, sequence, end in zip(step.slots, step.sequences, step.ends, strict=True):
            if self.slots[slot] is not sequence:
                self.seen["late rows"] += 1
            elif slot == spoiled:
                self.cache.forget(slot)
                self.release(slot)
            else:
                sequence.num_done = end
                self.register(slot, sequence)
        self.cache.settle(step.step_id)

    def register(self, slot, sequence):
        first = sequence.num_registered
        hashes = sequence.hashes(sequence.num_done)[first:]
        self.cache.register(slot, first, hashes)
        sequence.num_registered += len(hashes)

    def end(self):
        if self.taken:
            self.release(self.random.choice(self.taken))

    def release(self, slot):
        self.cache.release(slot, self.fence)
        self.slots[slot] = None

    def lose_everything(self):
        for slot in self.taken:
            self.release(slot)
        self.in_flight.clear()
        self.cache.settle(self.num_steps)
        self.cache.clear()
        self.contents = [np.empty_like(pages) for pages in self.contents]
        self.check_all_unused()

    def finish(self):
        while self.in_flight:
            self.report()
        for slot in self.taken:
            self.release(slot)
        self.check_all_unused()

    # ---- what the device does ----

    def write(self, step):
        for row, sequence in enumerate(step.sequences):
            for table, pages in zip(step.tables, self.contents, strict=True):
                for position in range(step.starts[row], step.ends[row]):
                    page = table[row, position // PAGE]
                    assert page != 0, "a token is written to the null page"
                    pages[page, position % PAGE] = sequence.entry(position)

    def read(self, step):
        for row, sequence in enumerate(step.sequences):
            for group, window in enumerate(self.windows):
                first = max(step.starts[row] - window + 1, 0) if window else 0
                self.check_row(group, step.tables[group][row], sequence, first, step.ends[row])

    # ---- what always holds ----

    def check_row(self, group, row, sequence, first, end):
        for position in range(first, end):
            found = self.contents[group][row[position // PAGE], position % PAGE]
            assert found == sequence.entry(position), f"position {position} holds {found}"

    def check_what_can_be_seen(self):
        for slot in self.taken:
            sequence = self.slots[slot]
            tables = self.cache.block_tables(np.array([slot]))
            for group, window in enumerate(self.windows):
                first = max(sequence.num_planned - window + 1, 0) if window else 0
                self.check_row(group, tables[group][0], sequence, first, sequence.num_done)

    def check_steps_in_flight(self):
        """Nobody is given a page that a step in flight may still read or write."""
        for step in self.in_flight:
            for group, table in enumerate(step.tables):
                touched = set(table.ravel().tolist()) - {0}
                references = self.cache.groups[group].pool.num_references
                assert all(references[page] for page in touched), "a page came back too early"

    def check_all_unused(self):
        assert self.cache.num_free_pages() == tuple(count - 1 for count in self.counts)


@given(seed=st.integers(0, 2**32), num_actions=st.integers(1, 400))
@settings(max_examples=100)
def test_a_sequence_sees_what_it_wrote_whatever_else_happens(seed, num_actions):
    Walk(seed).go(num_actions)


@pytest.mark.parametrize("seed", range(30))
def test_long_walks_end_with_every_page_unused(seed):
    Walk(seed).go(1000)


def test_walks_come_to_every_place():
    seen = Counter()
    for seed in range(10):
        walk = Walk(seed)
        walk.go(1000)
        seen += walk.seen
    assert min(seen[name] for name in ("hits", "refusals", "late rows")) > 100, seen
