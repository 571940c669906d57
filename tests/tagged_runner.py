"""A model whose next token is a hash of what its cache pages hold.

Each cache entry is a tag of the token and the position that wrote it, so a page that is stale,
foreign, shared or never written changes a token.
"""

from collections import deque

import numpy as np

from tapeout.kvcache.cache import PagedCache
from tapeout.runtime.frame import Sampling, StepResult
from tapeout.runtime.request import Arrive, Request
from tapeout.runtime.scheduler import Scheduler

PAGE = 4
VOCAB = 251
LOST = -1  # a token that makes its sequence's logits infinite


class TagGroup:
    name, layers, page_size_tokens, page_bytes_per_layer, window = "full", 1, PAGE, 8 * PAGE, None


def next_token(tags, seed=0) -> int:
    value = 1469598103934665603 ^ seed
    for tag in tags:
        value = ((value ^ int(tag)) * 1099511628211) % 2**61
    return value % VOCAB


def tag(token_id, position) -> int:
    return (int(token_id) * 1_000_003 + int(position) + 1) % 2**31


def reference(prompt, num_tokens, seed=0) -> list[int]:
    """What the model says to a prompt that is alone in the world."""
    known = list(prompt)
    for _ in range(num_tokens):
        known.append(next_token([tag(t, p) for p, t in enumerate(known)], seed))
    return known[len(prompt) :]


class TaggedRunner:
    """Steps are queued by `submit` and computed when their result is asked for."""

    def __init__(self, num_pages, max_num_seqs, max_model_len) -> None:
        self.tags = np.zeros((num_pages, PAGE), np.int64)
        self.tokens = np.zeros(max_num_seqs * max_model_len, np.int32)
        self.seeds = np.zeros(max_num_seqs, np.int64)
        self.broken_prompts = set()  # first tokens of prompts whose logits are infinite
        self.frames, self.queue = [], deque()

    def submit(self, frame) -> None:
        self.frames.append(frame)
        self.queue.append(frame)

    def wait(self) -> StepResult:
        frame = self.queue.popleft()
        for arrival in frame.arrivals:
            end = arrival.first_place + len(arrival.token_ids)
            self.tokens[arrival.first_place : end] = arrival.token_ids
            self.seeds[arrival.slot] = arrival.sampling.seed
        (table,) = frame.block_tables
        for place, position, row in zip(
            frame.token_places, frame.positions, frame.sequence_ids, strict=True
        ):
            page = table[row, position // PAGE]
            assert page != 0, "a token is written to the null page"
            self.tags[page, position % PAGE] = tag(self.tokens[place], position)
        chosen = [self._next(frame, table, r) for r in range(len(frame.logit_rows))]
        self.tokens[frame.sample_places] = np.maximum(chosen, 0)
        return StepResult(frame.step_id, np.array(chosen, np.int32))

    def _next(self, frame, table, row) -> int:
        token = frame.logit_rows[row]
        sequence, position = frame.sequence_ids[token], frame.positions[token]
        assert frame.sample_positions[row] == position + 1
        assert frame.sample_places[row] == frame.token_places[token] + 1
        first = frame.token_places[token] - position
        if self.tokens[first] in self.broken_prompts:
            return LOST
        if frame.targets[row] >= 0:
            assert self.tokens[frame.sample_places[row]] == frame.targets[row]
            return int(frame.targets[row])
        places = np.arange(position + 1)
        tags = self.tags[table[sequence, places // PAGE], places % PAGE]
        return next_token(tags, int(self.seeds[frame.sample_slots[row]]))


def make_scheduler(
    num_pages=65,
    max_num_seqs=4,
    max_model_len=64,
    max_num_batched_tokens=16,
    enable_prefix_caching=True,
    **options,
):
    width = -(-max_model_len // PAGE)
    cache = PagedCache((TagGroup(),), [num_pages], max_num_seqs, width, enable_prefix_caching)
    return Scheduler(cache, max_num_seqs, max_model_len, max_num_batched_tokens, **options)


class Loop:
    """A scheduler and a runner, with `depth` steps in flight while the next is planned."""

    def __init__(self, scheduler, depth=0) -> None:
        table = scheduler.sequences.table
        (group,) = scheduler.cache.groups
        num_slots, max_model_len = table.token_ids.shape
        self.runner = TaggedRunner(group.pool.num_pages, num_slots, max_model_len)
        self.scheduler, self.depth, self.now = scheduler, depth, 0.0
        self.finished, self.progress, self.events = {}, [], []

    def add(self, request_id, prompt, max_tokens=4, seed=0, **fields) -> None:
        sampling = fields.pop("sampling", Sampling(temperature=1.0, seed=seed))
        prompt = np.array(prompt, np.int32)
        request = Request(
            request_id=request_id,
            prompt_token_ids=prompt,
            max_tokens=max_tokens,
            sampling=sampling,
            **fields,
        )
        self.events.append(Arrive(request))

    def step(self):
        """Plans once; waits for the oldest result when enough steps are in flight."""
        self.now += 1
        events, self.events = self.events, []
        plan = self.scheduler.step(self.now, events)
        self.progress += plan.progress
        for finished in plan.finished:
            assert finished.request_id not in self.finished
            self.finished[finished.request_id] = finished
        if plan.frame is not None:
            self.runner.submit(plan.frame)
        if len(self.runner.queue) > self.depth or (plan.frame is None and self.runner.queue):
            self.events.append(self.runner.wait())
        self.scheduler.cache.check_integrity()
        return plan

    def run(self, max_steps=2000):
        """Until nothing is left to do; the output of every request by its id."""
        for _ in range(max_steps):
            self.step()
            if not self.scheduler.num_unfinished and not self.runner.queue and not self.events:
                return {name: finished.token_ids for name, finished in self.finished.items()}
        raise AssertionError(f"{self.scheduler.num_unfinished} requests do not end")
