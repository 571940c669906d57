"""Sends the requests of a measurement: at their times, or as users who wait for their answers."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from tqdm import tqdm

from .client import Client, Sample
from .options import LoadOptions
from .report import LoadReport, report_of
from .workload import Ask, draw_asks


async def measure_server(
    options: LoadOptions, api_key: str | None, shows_progress: bool
) -> tuple[LoadReport, list[Sample]]:
    """Asks the server; what it refuses or fails is counted, never raised.

    Raises InputError where no server answers.
    """
    async with Client(options.base_url, api_key, options.timeout_s) as client:
        model = options.model or await client.first_model()
        asks = draw_asks(options, model)
        with ExitStack() as exits:
            bar = exits.enter_context(
                tqdm(total=len(asks), desc="Requests", disable=not shows_progress)
            )
            run = _Run(client, options, bar)
            await (run.open_loop(asks) if options.concurrency is None else run.closed_loop(asks))
    return report_of(run.samples, options, model), run.samples


class _Run:
    """The requests on their way."""

    def __init__(self, client: Client, options: LoadOptions, bar: "tqdm[Any]") -> None:
        self._client, self._options, self._bar = client, options, bar
        self._start_s = perf_counter()
        self.samples: list[Sample] = []

    async def open_loop(self, asks: Sequence[Ask]) -> None:
        """Each at its time, however many wait for their answers by then."""
        async with asyncio.TaskGroup() as tasks:
            for ask in asks:
                await asyncio.sleep(ask.arrival_s - self._now_s())
                late_s = max(0.0, self._now_s() - ask.arrival_s)
                tasks.create_task(self._ask(ask, Sample(begun_s=ask.arrival_s, late_s=late_s)))

    async def closed_loop(self, asks: Sequence[Ask]) -> None:
        """Users, each of whom sends the next when the last is answered."""
        left = iter(asks)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self._options.concurrency or 1, len(asks))):
                tasks.create_task(self._user(left))

    async def _user(self, left: Iterator[Ask]) -> None:
        for ask in left:
            await self._ask(ask, Sample(begun_s=self._now_s()))

    async def _ask(self, ask: Ask, sample: Sample) -> None:
        self.samples.append(sample)
        await self._client.ask(self._options.endpoint, ask.body, sample, self._start_s)
        self._bar.update()

    def _now_s(self) -> float:
        return perf_counter() - self._start_s
