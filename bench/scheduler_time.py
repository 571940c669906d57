"""The scheduler's own time for a step of steady decode, and what it holds after a million steps.

    python bench/scheduler_time.py [--steps 2000] [--soak 1000000]

Two steps are in flight, as in the engine. The soak keeps requests coming, ending, being cancelled
and running out of time, and empties the scheduler at every tenth of its steps: what it holds then
must not grow.
"""

import random
import time
import tracemalloc
from collections import Counter, deque
from statistics import median, quantiles
from typing import Any

import click
import numpy as np
from growth import container_sizes, memory_bytes
from report import report

from tapeout.artifact import CacheGroup
from tapeout.kvcache.cache import PagedCache
from tapeout.runtime.frame import Frame, Sampling, StepResult
from tapeout.runtime.request import Arrive, Cancel, Event, Request, StepPlan
from tapeout.runtime.scheduler import Scheduler

PAGE, PROMPT, DEPTH = 16, 40, 2
GROUP = CacheGroup(
    name="full", layers=1, page_size_tokens=PAGE, page_bytes_per_layer=64, window=None
)


class Loop:
    """A scheduler whose steps take no time at all and choose the token 7."""

    def __init__(self, max_num_seqs: int, max_model_len: int, num_pages: int) -> None:
        width = -(-max_model_len // PAGE)
        num_tokens = max(1024, max_num_seqs)
        cache = PagedCache(
            [GROUP], [num_pages], max_num_seqs, width, max_tokens_in_flight=2 * num_tokens
        )
        self.scheduler = Scheduler(cache, max_num_seqs, max_model_len, num_tokens)
        self.in_flight: deque[Frame] = deque()
        self.num_steps = 0

    def step(self, events: list[Event], depth: int = DEPTH) -> tuple[StepPlan, float]:
        """Reports the oldest step if enough are in flight, and plans; with the seconds it took."""
        if len(self.in_flight) >= depth:
            events = [self._result(), *events]
        self.num_steps += 1
        start = time.perf_counter()
        plan = self.scheduler.step(float(self.num_steps), events)
        took_s = time.perf_counter() - start
        if plan.frame is not None:
            self.in_flight.append(plan.frame)
        return plan, took_s

    def drain(self) -> None:
        """Steps until nothing is left to do."""
        while self.scheduler.num_unfinished or self.in_flight:
            self.step([], depth=1)

    def _result(self) -> StepResult:
        frame = self.in_flight.popleft()
        chosen = np.where(frame.targets < 0, np.int32(7), frame.targets)
        return StepResult(frame.step_id, chosen)


class Traffic:
    """Requests with prompts of their own, all drawn from one seed."""

    def __init__(self) -> None:
        self.num_requests = 0
        self._random = random.Random(0)

    def arrive(self, max_tokens: int, **fields: Any) -> Arrive:
        """The next request."""
        self.num_requests += 1
        request = Request(
            request_id=f"r{self.num_requests}",
            prompt_token_ids=np.array(self._random.choices(range(30000), k=PROMPT), np.int32),
            max_tokens=max_tokens,
            sampling=Sampling(temperature=1.0, seed=self.num_requests),
            **fields,
        )
        return Arrive(request)

    def mixed(self, now: float, num_wanted: int) -> list[Event]:
        """So many requests of all kinds, and now and then a cancellation."""
        events: list[Event] = []
        for _ in range(num_wanted):
            is_alone = self._random.random() < 0.3
            events.append(
                self.arrive(
                    self._random.randrange(1, 150),
                    tenant=f"t{self.num_requests}" if is_alone else "",
                    priority=self._random.randrange(2),
                    deadline_s=now + self._random.expovariate(1 / 200),
                )
            )
        if self._random.random() < 0.02:
            cancelled = self._random.randrange(self.num_requests + 1)
            events.append(Cancel(f"r{cancelled}", "abort"))
        return events


def decode_times_us(num_seqs: int, num_steps: int) -> list[float]:
    """Microseconds of each step in which all sequences decode."""
    longest = PROMPT + num_steps + 50
    loop = Loop(num_seqs, longest, 1 + num_seqs * -(-longest // PAGE))
    traffic = Traffic()
    loop.step([traffic.arrive(num_steps + 50) for _ in range(num_seqs)])
    for _ in range(30):
        loop.step([])
    times = []
    for _ in range(num_steps):
        plan, took_s = loop.step([])
        assert plan.frame is not None and plan.frame.dims[:2] == (num_seqs, num_seqs)
        times.append(took_s * 1e6)
    return times


def soak(num_steps: int, num_seqs: int = 8) -> tuple[list[dict[str, object]], list[str]]:
    """What is held at every tenth of the steps, nothing running; and the containers that grow."""
    loop, traffic = Loop(num_seqs, 256, 60), Traffic()
    tracemalloc.start()
    rows: list[dict[str, object]] = []
    held: list[Counter[str]] = []
    for tenth in range(1, 11):
        while loop.num_steps < num_steps * tenth // 10:
            num_wanted = num_seqs + 4 - loop.scheduler.num_unfinished
            loop.step(traffic.mixed(loop.num_steps, num_wanted))
        loop.drain()
        held.append(container_sizes(loop.scheduler))
        rows.append(
            {
                "steps": loop.num_steps,
                "requests": traffic.num_requests,
                "preemptions": loop.scheduler.num_preemptions,
                "containers": len(held[-1]),
                "entries": sum(held[-1].values()),
                **{f"{name} KiB": size / 1024 for name, size in memory_bytes().items()},
            }
        )
    tracemalloc.stop()
    early, late = held[:5], held[5:]
    grown = [n for n in held[-1] if min(h[n] for h in late) > max(h[n] for h in early)]
    return rows, grown


@click.command()
@click.option("--steps", default=2000)
@click.option("--soak", "soak_steps", default=1_000_000, help="0 leaves it out.")
def main(steps: int, soak_steps: int) -> None:
    """Measures several numbers of running sequences, then the soak."""
    rows = []
    for num_seqs in (1, 8, 64, 256):
        times = decode_times_us(num_seqs, steps)
        p99 = quantiles(times, n=100)[98]
        rows.append({"running": num_seqs, "median us": median(times), "p99 us": p99})
    report("scheduler_time", rows, steps=steps)
    if soak_steps:
        rows, grown = soak(soak_steps)
        report("scheduler_growth", rows, steps=soak_steps, grown=grown)
        print(f"containers that grow: {', '.join(grown) or 'none'}")


if __name__ == "__main__":
    main()
