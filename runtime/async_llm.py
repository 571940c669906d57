"""`AsyncLLM`: online generation with vLLM's names, for tasks of event loops in this process."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from types import TracebackType
from typing import Any
from uuid import uuid4

from ..errors import InputError, shown
from .engine_thread import EngineThread
from .generation import Generation
from .intake import RequestOptions
from .load import AnyExecutor
from .model import Model
from .outputs import RequestOutput
from .sampling_params import SamplingParams

_LONG_PROMPT = 4096  # characters or ids: checking more would hold up the event loop


class AsyncLLM(Model):
    """Online generation; the arguments are those of `Model`.

    Any number of tasks, event loops and threads may use it. The engine runs in a thread of its own.
    """

    async def generate(
        self,
        prompt: Any,
        sampling_params: SamplingParams | None = None,
        request_id: str | None = None,
        *,
        priority: int = 0,
        tenant: str = "",
        cache_salt: str | None = None,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[RequestOutput, None]:
        """Completes one prompt; gives what the params' `output_kind` says, the last one finished.

        A task that is slow to take outputs gets those of several steps as one. Leaving the loop
        early, or being cancelled, ends the request.

        Raises InputError before anything is queued, QueueFullError if there is no room, and
        EngineDeadError.
        """
        options = RequestOptions(
            priority=priority, tenant=tenant, cache_salt=cache_salt, timeout_s=timeout_s
        )
        generation = await self._checked(
            request_id or uuid4().hex, prompt, sampling_params, options
        )
        stream = self._thread.open(generation)
        try:
            while not stream.is_done:
                yield await stream.get()
        finally:
            self._thread.leave(stream)

    async def abort(self, request_id: str | Iterable[str]) -> None:
        """Ends requests with finish_reason "abort"; those that have ended are passed over."""
        request_ids = [request_id] if isinstance(request_id, str) else list(request_id)
        for one in request_ids:
            if not isinstance(one, str):
                raise InputError(f"request_id={shown(one)} is not a text")
        for one in request_ids:
            self._thread.abort(one)

    async def check_health(self) -> None:
        """Raises EngineDeadError if nothing can be generated any more."""
        self._thread.check_alive()

    def shutdown(self) -> None:
        """Ends the engine; requests that are not done end in EngineDeadError."""
        self._close()

    async def __aenter__(self) -> "AsyncLLM":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.shutdown)

    def _set_up(self, executor: AnyExecutor) -> Callable[[], Any]:
        self._thread = thread = EngineThread(self.engine)

        def close() -> None:
            thread.close()
            executor.close()

        return close

    async def _checked(
        self,
        request_id: str,
        prompt: Any,
        params: SamplingParams | None,
        options: RequestOptions,
    ) -> Generation:
        """The generation of a prompt; the event loop goes on while a long one is tokenized, or a
        grammar compiled."""

        def check() -> Generation:
            [(tokenized, own)] = self._intake.prompts([prompt], params)
            return self._intake.generation(request_id, tokenized, own, options)

        is_long = _is_long(prompt) or (params is not None and params.structured_outputs is not None)
        return await asyncio.to_thread(check) if is_long else check()


def _is_long(prompt: Any) -> bool:
    parts = prompt.values() if isinstance(prompt, dict) else [prompt]
    return any(hasattr(part, "__len__") and len(part) > _LONG_PROMPT for part in parts)
