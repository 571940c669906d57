"""What the routes of a front share: the engine, the model, and who may still come in."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import msgspec

from ..errors import TapeoutError
from ..runtime.inputs import TokenizedPrompt
from ..runtime.intake import RequestOptions
from ..runtime.outputs import RequestOutput
from ..runtime.sampling_params import RequestOutputKind, SamplingParams
from ..runtime.stream import Stream
from .admission import Admission
from .api_errors import ApiError
from .engine_client import EngineClient
from .frames import Hello
from .metrics import Metrics
from .options import ServeOptions
from .served_model import ServedModel
from .tally import Tally, failure
from .tracing import Tracing

_LATE_S = 0.5  # for the engine's own end of a request to come


class Ask(msgspec.Struct, frozen=True):
    """A prompt to complete."""

    prompt: TokenizedPrompt
    params: SamplingParams
    options: RequestOptions


class Front:
    """One for each process; used in its event loop alone."""

    def __init__(self, options: ServeOptions, engine_address: str) -> None:
        self.options = options
        self.engine = EngineClient(engine_address, options.seed, self._greeted)
        self.metrics = Metrics(self.engine)
        self.tracing: Tracing | None = None
        if options.otlp_traces_endpoint is not None:
            self.tracing = Tracing(options.otlp_traces_endpoint)
        self._admission = Admission(options)
        self._drain_end_s: float | None = None  # when what still runs is ended
        self._model: ServedModel | None = None
        self.failure: TapeoutError | None = None  # why the model that is loaded cannot be served

    @property
    def is_draining(self) -> bool:
        """Whether nothing new is begun."""
        return self._drain_end_s is not None

    @property
    def is_ready(self) -> bool:
        """Whether a request would be answered now."""
        return self.engine.is_ready and not self.is_draining

    @property
    def model(self) -> ServedModel:
        """The model. Raises ApiError until an engine has been there."""
        if self._model is None:
            raise ApiError(
                503,
                "the model is being loaded; try again soon",
                kind="server_error",
                code="not_ready",
                retry_after_s=5,
            )
        return self._model

    def let_in(self, tenant: str, exits: ExitStack) -> None:
        """Lets a request of a key begin, until `exits` is closed.

        Raises ApiError where nothing new is begun.
        """
        if self.is_draining:
            raise _shutting_down()
        with self._counting_refusals():
            self._admission.check_room(1, 0)
            exits.callback(self._admission.enter_key(tenant))

    def ask(self, asks: Sequence[Ask], is_stream: bool, exits: ExitStack) -> list[Stream]:
        """Sends all of these or none; who leaves `exits` takes no more of them.

        Raises ApiError if the queue is full, and EngineDeadError.
        """
        num_tokens = sum(len(ask.prompt.token_ids) for ask in asks)
        num_sequences = sum(ask.params.n for ask in asks)
        with self._counting_refusals():
            exits.callback(self._admission.enter(num_sequences, num_tokens).leave)
        kind = RequestOutputKind.DELTA if is_stream else RequestOutputKind.FINAL_ONLY
        streams = []
        for ask in asks:
            make = self.model.generation(ask.prompt, ask.params, ask.options, kind)
            streams.append(self.engine.open(make))
            exits.callback(self.engine.leave, streams[-1])
            self._end_late(streams[-1], ask.options.timeout_s, exits)
        return streams

    def _end_late(self, stream: Stream, timeout_s: float | None, exits: ExitStack) -> None:
        """Where the engine does not end a request in time: it hangs, or is being started."""
        if timeout_s is not None:
            loop, error = asyncio.get_running_loop(), failure("timeout")
            late = loop.call_later(timeout_s + _LATE_S, self.engine.end, stream, error)
            exits.callback(late.cancel)

    def tally(self, state: dict[str, Any]) -> Tally:
        """Counts what a request takes; its line in the log will say it."""
        tally = Tally(self.metrics, state["started_s"])
        state["exits"].callback(lambda: state["notes"].update(tally.facts()))
        return tally

    def drain(self) -> None:
        """Begins nothing new; told a second time, ends what runs."""
        now_s = monotonic()
        is_first = self._drain_end_s is None
        self._drain_end_s = now_s + self.options.drain_timeout_s if is_first else now_s

    def check_drain(self) -> None:
        """Ends what runs once its time is over."""
        if self._drain_end_s is not None and monotonic() >= self._drain_end_s:
            self.engine.end_all(_shutting_down)

    def close(self) -> None:
        """Sends what is still to be told."""
        if self.tracing is not None:
            self.tracing.close()

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except ApiError:
            self.metrics.count("admission_rejections")
            raise

    def _greeted(self, hello: Hello) -> None:
        """A model that cannot be served ends the front: another connection would not help."""
        self._admission.num_slots = hello.max_num_seqs
        try:
            self._model = self._model or self._served(hello)
        except TapeoutError as error:
            self.failure = error
            self.drain()

    def _served(self, hello: Hello) -> ServedModel:
        options = self.options
        names, most = options.served_model_name, options.max_output_tokens
        return ServedModel(hello, names, most, options.tool_format)


def _shutting_down() -> ApiError:
    return ApiError(
        503,
        "the server is being shut down; ask another",
        kind="server_error",
        code="shutting_down",
        retry_after_s=1,
    )


async def final_outputs(streams: Sequence[Stream]) -> list[RequestOutput]:
    """The one output of each. Raises what ended one of them."""
    return [await stream.get() for stream in streams]


async def merged(streams: Sequence[Stream]) -> AsyncIterator[tuple[int, RequestOutput]]:
    """The outputs of all as they come, each with the place of its stream."""
    if len(streams) == 1:
        while not streams[0].is_done:
            yield 0, await streams[0].get()
        return
    waiting = {asyncio.ensure_future(s.get()): i for i, s in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                index = waiting.pop(task)
                yield index, task.result()
                if not streams[index].is_done:
                    waiting[asyncio.ensure_future(streams[index].get())] = index
    finally:
        for task in waiting:
            task.cancel()
