"""`tapeout run-batch`: an engine of its own, and a front that takes requests from a file.

What is answered over HTTP is answered here by the same app; only the network is missing. The engine
is kept alive as that of a server is: if it ends, what it was doing is asked anew.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from ...errors import EngineDeadError
from ..app import build_app
from ..engine_keeper import EngineKeeper
from ..front import Front
from ..gate import App
from ..listening import engine_listener
from ..options import ServeOptions
from .in_process import Response, post
from .lines import BatchLine, check_lines, read_lines
from .results import BatchError, BatchResponse, ResultFile, result_of

URLS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
_MAX_ATTEMPTS = 3  # of a request that the server would tell to come again
_REQUESTS_PER_SLOT = 2  # on their way for each sequence that can run, so that none runs dry


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests of the input."""

    num_requests: int
    num_skipped: int  # were in the output already
    num_failed: int  # of all: those that have no answer

    def text(self) -> str:
        """A line to read."""
        num_run = self.num_requests - self.num_skipped
        return (
            f"{self.num_requests} requests: {num_run} were run, {self.num_skipped} were in the "
            "output already"
        )

    def as_json(self) -> str:
        """The same as a record."""
        return msgspec.json.encode(self).decode()


async def run_batch(
    model: Path, options: ServeOptions, source: Path, target: Path, shows_progress: bool
) -> BatchReport:
    """Runs the requests in `source` whose results `target` has not, and adds those to it.

    Raises InputError before anything is loaded, and EngineDeadError if no engine can be kept alive.
    """
    custom_ids = check_lines(source)
    with ResultFile(target, custom_ids) as results:
        num_skipped = len(results.custom_ids)
        left = (line for line in read_lines(source) if line.custom_id not in results.custom_ids)
        with tqdm(
            total=len(custom_ids), initial=num_skipped, desc="Requests", disable=not shows_progress
        ) as bar:
            run = _Run(results, left, bar)
            if num_skipped < len(custom_ids):
                await run.with_engine(model, options)
        return BatchReport(
            num_requests=len(custom_ids), num_skipped=num_skipped, num_failed=results.num_failed
        )


class _Run:
    """The requests that are left, and where their results go."""

    def __init__(self, results: ResultFile, left: Iterator[BatchLine], bar: "tqdm[Any]") -> None:
        self._results, self._left, self._bar = results, left, bar

    async def with_engine(self, model: Path, options: ServeOptions) -> None:
        """Starts an engine, asks it all, and ends it."""
        with engine_listener() as (listener, address):
            keeper = EngineKeeper(str(model), options, listener, address)
            front = Front(options, address)
            engine = asyncio.ensure_future(keeper.run())
            link = asyncio.ensure_future(front.engine.run())
            work = asyncio.ensure_future(self._work(front))
            try:
                await asyncio.wait([engine, work], return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    raise EngineDeadError("the engine cannot be kept alive; the log says why")
                work.result()
            finally:
                for task in (work, link, engine):
                    task.cancel()
                await keeper.close()

    async def _work(self, front: Front) -> None:
        app = build_app(front)
        await front.engine.wait_ready(front.options.startup_timeout_s)
        hello = front.engine.hello
        assert hello is not None, "an engine is there, or the keeper has given up"
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_REQUESTS_PER_SLOT * hello.max_num_seqs):
                    tasks.create_task(self._ask_some(front, app))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask_some(self, front: Front, app: App) -> None:
        for line in self._left:
            self._results.add(result_of(line.custom_id, await _outcome(front, app, line)))
            self._bar.update()


async def _outcome(front: Front, app: App, line: BatchLine) -> BatchResponse | BatchError:
    """Asks, and asks again where the answer is to come again later."""
    if line.method != "POST":
        return BatchError("invalid_method", f"method={line.method!r} is none here; give POST")
    if line.url not in URLS:
        return BatchError("invalid_url", f"url={line.url!r} is none of {', '.join(URLS)}")
    if line.body.get("stream"):
        return BatchError("invalid_body", "stream=true has no use in a batch; leave it out")
    body = msgspec.json.encode(line.body)
    response = await _ask(front, app, line.url, body)
    for _ in range(_MAX_ATTEMPTS - 1):
        if response.status != 503:
            break
        await asyncio.sleep(float(response.headers.get(b"retry-after", b"1")))
        response = await _ask(front, app, line.url, body)
    return BatchResponse(response.status, response.request_id, msgspec.Raw(response.body))


async def _ask(front: Front, app: App, url: str, body: bytes) -> Response:
    """Sends a request once an engine is there: a large model takes minutes to come again."""
    await front.engine.wait_ready(None)
    return await post(app, url, body)
