"""A scheduler over a real executor: every row of every step is held against the request alone."""

from collections import deque
from typing import Any, NamedTuple

import msgspec
import numpy as np
from recorder import Recorder, Row, row_of

from tapeout.kvcache.cache import PagedCache
from tapeout.kvcache.pages import NULL_PAGE
from tapeout.runtime.frame import I32, Frame
from tapeout.runtime.request import Arrive, Cancel, Event, Finished, Mask, Request, StepsLost
from tapeout.runtime.scheduler import Scheduler

_MAX_STEPS = 20_000


class Alone(NamedTuple):
    """What a request gives in an empty engine, one token a step, so that each has a row."""

    request: Request
    rows: dict[int, Row]  # by the position of the token that it chooses
    finished: Finished


class Outstanding(NamedTuple):
    """A submitted step and whose its rows are."""

    frame: Frame
    request_ids: list[str]


def alone(recorder: Recorder, request: Request) -> Alone:
    """The request by itself, with no cached page to begin with."""
    loop = Compared(recorder, {}, max_num_seqs=1, max_num_batched_tokens=1)
    loop.rows = {}
    loop.add(request)
    loop.run()
    finished = loop.finished[request.request_id]
    assert finished.finish_reason != "numeric_error", f"{request.request_id} has no numbers"
    return Alone(request, loop.rows, finished)


def mask_of(request: Request, num_tokens: int, vocab_size: int) -> I32:
    """A grammar's answer, made up: about half of the tokens may follow `num_tokens` of output."""
    rng = np.random.default_rng([len(request.prompt_token_ids), num_tokens])
    return rng.integers(-(2**31), 2**31, -(-vocab_size // 32), dtype=np.int64).astype(np.int32)


class Compared:
    """`depth` steps are in flight while the next is planned.

    Requests are named "name" or "name/anything": each is held against `wanted["name"]`, row by row
    as steps report, and its output when it ends. Everything that differs is an AssertionError.
    """

    def __init__(
        self,
        recorder: Recorder,
        wanted: dict[str, Alone],
        depth: int = 0,
        max_num_seqs: int = 8,
        max_num_batched_tokens: int = 64,
        max_model_len: int | None = None,
        num_pages: int | None = None,
        enable_prefix_caching: bool = True,
    ) -> None:
        groups, plan = recorder.target.cache_groups, recorder.plan
        cache = PagedCache(
            groups,
            [min(num_pages or most, most) for most in plan.num_pages],
            max_num_seqs,
            plan.block_table_width,
            enable_prefix_caching,
            max_tokens_in_flight=(1 + depth) * max_num_batched_tokens,
        )
        self.scheduler = Scheduler(
            cache,
            max_num_seqs,
            max_model_len or plan.max_model_len,
            max_num_batched_tokens,
            plan.max_logit_rows,
        )
        self.recorder, self.wanted, self.depth = recorder, wanted, depth
        self.rows: dict[int, Row] | None = None  # kept when there is nothing to compare with
        self.num_rows = self.num_steps = 0
        self.finished: dict[str, Finished] = {}
        self._requests: dict[str, Request] = {}
        self._events: list[Event] = []
        self._queue: deque[Outstanding] = deque()
        self._masks_sent: dict[str, int] = {}
        self._broken: set[str] = set()
        recorder.poison()

    def add(self, request: Request, request_id: str | None = None, **changes: Any) -> str:
        """A request arrives, under another id if one is given; gives its id."""
        request_id = request_id or request.request_id
        request = msgspec.structs.replace(request, request_id=request_id, **changes)
        self._requests[request_id] = request
        self._events.append(Arrive(request))
        self._tell_mask(request, 0)
        return request_id

    def cancel(self, request_id: str) -> None:
        """A request's owner goes away."""
        self._events.append(Cancel(request_id, "abort"))

    def preempt(self, request_id: str) -> bool:
        """A running sequence loses its pages and its slot between two steps."""
        slot = self.scheduler.sequences.slot_of.get(request_id)
        if slot is not None:
            self.scheduler._preempt(slot)
        return slot is not None

    def lose_steps(self) -> None:
        """The executor forgets everything, and the steps in flight never report."""
        while self._queue:
            self._queue.popleft()
            self.recorder.wait_with_logits()
        self._events = [e for e in self._events if isinstance(e, (Arrive, Cancel, Mask))]
        self._events.append(StepsLost())
        self.recorder.poison()

    def break_cache(self, request_id: str) -> int:
        """What a running request has in the cache turns into no numbers; it is not compared.

        Gives how many tokens windows had left behind in every group: their pages are still sound.
        """
        cache, slot = self.scheduler.cache, self.scheduler.sequences.slot_of[request_id]
        tables = cache.block_tables(np.array([slot]))
        for group, table in zip(self.recorder.target.cache_groups, tables, strict=True):
            self.recorder.poison_pages(group, table[table != NULL_PAGE])
        self._broken.add(request_id)
        return min(int(group.first_token[slot]) for group in cache.groups)

    def step(self) -> None:
        """Plans and submits a step; takes the oldest result when enough are outstanding."""
        self.num_steps += 1
        events, self._events = self._events, []
        plan = self.scheduler.step(float(self.num_steps), events)
        self.scheduler.cache.check_integrity()
        for finished in plan.finished:
            self._check_end(finished)
        if plan.frame is not None:
            request_of = self.scheduler.sequences.table.request_id
            owners = [request_of(slot) for slot in plan.frame.sample_slots.tolist()]
            self._queue.append(Outstanding(plan.frame, owners))
            self.recorder.submit(plan.frame)
        self._tell_masks()
        if len(self._queue) > self.depth or (plan.frame is None and self._queue):
            self._land()

    def run(self) -> None:
        """Until every request has ended."""
        for _ in range(_MAX_STEPS):
            self.step()
            if self.is_idle:
                return
        raise AssertionError(f"{self.scheduler.num_unfinished} requests do not end")

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.scheduler.num_unfinished or self._queue or self._events)

    def num_computed(self, request_id: str) -> int:
        """The tokens of a running request that are in the cache, or will be by a step in flight."""
        slot = self.scheduler.sequences.slot_of.get(request_id)
        return 0 if slot is None else int(self.scheduler.sequences.table.num_computed[slot])

    def _land(self) -> None:
        frame, request_ids = self._queue.popleft()
        result, logits = self.recorder.wait_with_logits()
        for row, request_id in enumerate(request_ids):
            sampling, target = self._requests[request_id].sampling, int(frame.targets[row])
            position = int(frame.sample_positions[row])
            is_prompt = position < len(self._requests[request_id].prompt_token_ids)
            if target >= 0 and not is_prompt:  # computed again: its logprobs are known
                sampling = msgspec.structs.replace(sampling, num_prompt_logprobs=None)
            found = row_of(result, logits, row, sampling, target >= 0)
            self._check_row(request_id, position, found, target)
        self._events.append(result)

    def _check_row(self, request_id: str, position: int, found: Row, target: int) -> None:
        self.num_rows += 1
        if self.rows is not None:
            self.rows[position] = found
            return
        if request_id in self._broken:
            return
        wanted = self.wanted[request_id.split("/")[0]].rows.get(position)
        where = f"{request_id} at {position} in step {self.num_steps}"
        if wanted is None:  # planned before its end was known
            known = self.wanted[request_id.split("/")[0]].finished
            assert known.finish_reason == "stop", f"{where}: alone it has no such row"
            return
        num_other = np.count_nonzero(found.logits != wanted.logits)
        assert num_other == 0, f"{where}: {num_other} of {len(wanted.logits)} logits differ"
        assert found.token_id == wanted.token_id, f"{where}: another token"
        assert target >= 0 or found.logprobs == wanted.logprobs, f"{where}: other logprobs"
        if target >= 0 and found.logprobs and wanted.logprobs:
            assert found.logprobs == wanted.logprobs, f"{where}: other logprobs of the prompt"

    def _check_end(self, finished: Finished) -> None:
        request_id = finished.request_id
        assert request_id not in self.finished, f"{request_id} ends twice"
        self.finished[request_id] = finished
        if self.rows is not None or request_id in self._broken:
            return
        wanted = self.wanted[request_id.split("/")[0]].finished
        if finished.finish_reason == "abort":
            assert wanted.token_ids[: len(finished.token_ids)] == finished.token_ids, request_id
            return
        for name in ("token_ids", "finish_reason", "stop_token_id"):
            assert getattr(finished, name) == getattr(wanted, name), f"{request_id}: other {name}"

    def _tell_masks(self) -> None:
        """A mask follows each new token of a request that waits for one."""
        table = self.scheduler.sequences.table
        for request_id, slot in self.scheduler.sequences.slot_of.items():
            request = self._requests[request_id]
            if request.masked:
                self._tell_mask(request, int(table.num_known[slot] - table.num_prompt[slot]))

    def _tell_mask(self, request: Request, num_tokens: int) -> None:
        request_id = request.request_id
        if request.masked and self._masks_sent.get(request_id) != num_tokens:
            self._masks_sent[request_id] = num_tokens
            mask = mask_of(request, num_tokens, self.recorder.model.vocab_size)
            self._events.append(Mask(request_id, num_tokens, mask))
