"""`LLM`: offline generation with vLLM's names, in the caller's process and thread."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

from ..errors import InputError, shown
from ..interrupts import uninterrupted
from .generation import Generation
from .inputs import TokenizedPrompt
from .intake import RequestOptions
from .load import AnyExecutor
from .model import Model
from .outputs import RequestOutput
from .progress import Progress
from .sampling_params import RequestOutputKind, SamplingParams

Params = SamplingParams | Sequence[SamplingParams] | None
UseTqdm = bool | Callable[..., Any]


class LLM(Model):
    """Offline generation: `generate`, `chat` and `stream`; the arguments are those of `Model`.

    Threads that use it at the same time take turns, a step each, and share the steps.
    """

    def generate(
        self,
        prompts: Any,
        sampling_params: Params = None,
        use_tqdm: UseTqdm = True,
        *,
        priority: Sequence[int] | None = None,
        tenant: str = "",
        cache_salt: str | None = None,
        timeout_s: float | None = None,
    ) -> list[RequestOutput]:
        """Completes prompts; results are in the order of the prompts.

        `prompts` is a text, a list of texts, or in place of a text `{"prompt_token_ids": [...]}` or
        what `render_chat` gave; `sampling_params` one for all, or a list with one for each;
        `priority` a number for each, the lower the sooner. What is not done after `timeout_s`
        seconds ends with what it has. Everything is checked before anything is computed.
        """
        checked = self._intake.prompts(prompts, sampling_params)
        options = _options(len(checked), priority, tenant, cache_salt, timeout_s)
        return self._complete(checked, options, use_tqdm)

    def chat(
        self,
        messages: Any,
        sampling_params: Params = None,
        use_tqdm: UseTqdm = True,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        priority: Sequence[int] | None = None,
        tenant: str = "",
        cache_salt: str | None = None,
        timeout_s: float | None = None,
    ) -> list[RequestOutput]:
        """Answers a chat, a list of messages, or a list of chats, through the chat template."""
        chats = _list_chats(messages)
        values = {"tools": tools, "add_generation_prompt": add_generation_prompt}
        values |= _named_values(chat_template_kwargs)
        own_params = self._intake.params_for(len(chats), sampling_params)
        checked = [
            (self._rendered(chat, params, values), params)
            for chat, params in zip(chats, own_params, strict=True)
        ]
        options = _options(len(checked), priority, tenant, cache_salt, timeout_s)
        return self._complete(checked, options, use_tqdm)

    def stream(
        self, prompt: Any, sampling_params: SamplingParams | None = None, **options: Any
    ) -> Iterator[RequestOutput]:
        """Completes one prompt; after every step gives what the params' `output_kind` says.

        `options` are those of `generate`, `priority` being one number. What cannot be used is
        refused here, before the first output is asked for. Leaving the loop early ends the request.
        """
        checked = self._intake.prompts([prompt], sampling_params)
        return self._outputs_of(checked, [RequestOptions(**options)])

    def _set_up(self, executor: AnyExecutor) -> Callable[[], Any]:
        self._request_ids = itertools.count()
        self._boxes: dict[str, deque[RequestOutput]] = {}  # who waits for which request
        self._lock = RLock()  # of the engine and the boxes
        return super()._set_up(executor)

    def _complete(
        self,
        prompts: Sequence[tuple[TokenizedPrompt, SamplingParams]],
        options: Sequence[RequestOptions],
        use_tqdm: UseTqdm,
    ) -> list[RequestOutput]:
        for _, params in prompts:  # copies of what the caller gave
            params.output_kind = RequestOutputKind.FINAL_ONLY
        done: dict[str, RequestOutput] = {}
        with Progress(len(prompts), use_tqdm) as progress:
            for output in self._outputs_of(prompts, options):
                done[output.request_id] = output
                progress.add(output)
        return [done[request_id] for request_id in sorted(done, key=int)]

    def _outputs_of(
        self,
        prompts: Sequence[tuple[TokenizedPrompt, SamplingParams]],
        options: Sequence[RequestOptions],
    ) -> Iterator[RequestOutput]:
        """Queues prompts and gives their outputs as they come; what is left at the end is aborted.

        Several of these may be open at once: each step's outputs go to those they belong to.
        """
        generations = [
            self._intake.generation(str(next(self._request_ids)), prompt, params, own)
            for (prompt, params), own in zip(prompts, options, strict=True)
        ]
        box: deque[RequestOutput] = deque()
        num_open = len(generations)
        try:
            with self._undivided():
                self._boxes.update((generation.request_id, box) for generation in generations)
                self.engine.add(generations)
            while num_open:
                self._fill(box)
                while box:
                    output = box.popleft()
                    num_open -= output.finished
                    yield output
        finally:
            if num_open:
                self._forget(generations)
            self._land()

    @contextmanager
    def _undivided(self) -> Iterator[None]:
        """No other thread and no interrupt comes in between."""
        with self._lock, uninterrupted():
            yield

    def _fill(self, box: deque[RequestOutput]) -> None:
        """Steps until there is an output in the box; interrupts come between two steps."""
        with uninterrupted() as let_in:
            while not box:
                self._step()
                let_in()

    def _step(self) -> None:
        with self._lock:
            for output in self.engine.step():
                box = self._boxes.get(output.request_id)
                if box is not None:
                    box.append(output)
                if output.finished:
                    self._boxes.pop(output.request_id, None)

    def _forget(self, generations: Sequence[Generation]) -> None:
        """Aborts what is not done."""
        with self._undivided():
            for generation in generations:
                if self._boxes.pop(generation.request_id, None) is not None:
                    self.engine.abort(generation.request_id)

    def _land(self) -> None:
        """The last to leave waits for the steps in flight."""
        while not self._boxes and not self.engine.is_idle:
            with self._undivided():
                self._step()


def _list_chats(messages: Any) -> list[Any]:
    if not isinstance(messages, (list, tuple)):
        raise InputError(f"messages={shown(messages)} is not a list of messages or of chats")
    return [messages] if messages and isinstance(messages[0], Mapping) else list(messages)


def _named_values(kwargs: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What a chat template is given beside the chat."""
    kwargs = {} if kwargs is None else kwargs
    is_mapping = isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)
    if not is_mapping or "messages" in kwargs:
        raise InputError(
            f"chat_template_kwargs={shown(kwargs)} is not a dict of names, other than messages, "
            "and values"
        )
    return kwargs


def _options(
    num_prompts: int,
    priority: Sequence[int] | None,
    tenant: str,
    cache_salt: str | None,
    timeout_s: float | None,
) -> list[RequestOptions]:
    """The options of each prompt, which differ in nothing but the priority."""
    priorities = [0] * num_prompts if priority is None else priority
    if not isinstance(priorities, (list, tuple)) or len(priorities) != num_prompts:
        raise InputError(
            f"priority={shown(priority)} is not a list with a number for each of {num_prompts} "
            "prompts"
        )
    return [
        RequestOptions(priority=value, tenant=tenant, cache_salt=cache_salt, timeout_s=timeout_s)
        for value in priorities
    ]
