"""`/v1/completions`: prompts in, completions out."""

import time
from collections.abc import AsyncIterator, Sequence

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from ...runtime.logprobs import LogprobsOfToken
from ...runtime.outputs import CompletionOutput, RequestOutput
from ...runtime.sampling_params import SamplingParams
from ...runtime.stream import Stream
from ..event_stream import EventStream, data_event
from ..front import Ask, Front, final_outputs, merged
from ..schemas.logprobs import CompletionLogprobs, completion_logprobs
from ..schemas.openai import Completion, CompletionChoice, CompletionRequest, Usage
from ..served_model import ServedModel
from ..tally import Tally
from .describing import described
from .reading import json_response, read, request_options

_DONE = b"data: [DONE]\n\n"
_DEFAULT_MAX_TOKENS = 16  # OpenAI's


def build_router(front: Front) -> APIRouter:
    """The route, over a front."""
    router = APIRouter()

    @router.post("/v1/completions", **described(CompletionRequest, Completion, is_stream=True))
    async def create_completion(request: Request) -> Response:
        """Completes prompts."""
        state = request.scope["state"]
        asked = await read(request, CompletionRequest)
        asked.check()
        answer = _Answer(front.model, asked, front.tally(state), state["request_id"])
        params = await front.model.checked(_params(asked))
        prompts = await front.model.prompts(asked.prompt, params)
        options = request_options(front, request, asked)
        asks = [Ask(prompt, params, options) for prompt in prompts]
        streams = front.ask(asks, bool(asked.stream), state["exits"])
        if asked.stream:
            return EventStream(answer.events(streams), _DONE, front.options.write_timeout_s)
        return json_response(answer.whole(await final_outputs(streams)))

    return router


def _params(asked: CompletionRequest) -> SamplingParams:
    """No token at all can be asked for together with the prompt: one is made and left out."""
    max_tokens = _DEFAULT_MAX_TOKENS if asked.max_tokens is None else asked.max_tokens
    if asked.echo and max_tokens == 0:
        max_tokens = 1
    prompt_logprobs = asked.logprobs if asked.echo else None
    return asked.params(
        logprobs=asked.logprobs, prompt_logprobs=prompt_logprobs, max_tokens=max_tokens
    )


def _without_tokens(output: RequestOutput) -> RequestOutput:
    """Where none was asked for, the one that was made is not told."""
    replace = msgspec.structs.replace
    completions = [
        replace(c, text="", token_ids=[], logprobs=None if c.logprobs is None else [])
        for c in output.outputs
    ]
    return replace(output, outputs=completions)


class _Answer:
    """Writes the outputs of a request in the shape of its answer."""

    def __init__(
        self, model: ServedModel, asked: CompletionRequest, tally: Tally, request_id: str
    ) -> None:
        self._tally = tally
        self._model, self._asked = model, asked
        self._id, self._created_s = f"cmpl-{request_id}", int(time.time())
        self._name = model.name(asked.model)
        self._num_written: dict[int, int] = {}  # characters of each choice's text
        self._prompt_logprobs: dict[int, list[LogprobsOfToken | None] | None] = {}

    def whole(self, outputs: Sequence[RequestOutput]) -> Completion:
        """The answer at once."""
        choices = []
        for index, output in enumerate(outputs):
            choices += self._choices(index, output)
        return self._completion(choices, self._tally.usage())

    async def events(self, streams: Sequence[Stream]) -> AsyncIterator[bytes]:
        """The answer piece by piece."""
        options = self._asked.stream_options
        always_usage = bool(options and options.continuous_usage_stats)
        async for index, output in merged(streams):
            choices = self._choices(index, output)
            if choices:
                usage = self._tally.usage() if always_usage else None
                yield data_event(self._completion(choices, usage))
        if self._asked.wants_usage:
            yield data_event(self._completion([], self._tally.usage()))

    def _choices(self, stream_index: int, output: RequestOutput) -> list[CompletionChoice]:
        if self._asked.max_tokens == 0:
            output = _without_tokens(output)
        self._tally.add(output)
        # A stream tells them once; each of its n choices begins with them.
        own = self._prompt_logprobs.setdefault(stream_index, output.prompt_logprobs)
        output = msgspec.structs.replace(output, prompt_logprobs=own)
        first = stream_index * (self._asked.n or 1)
        return [
            self._choice(first + completion.index, output, completion)
            for completion in output.outputs
        ]

    def _choice(
        self, index: int, output: RequestOutput, completion: CompletionOutput
    ) -> CompletionChoice:
        text, logprobs = completion.text, completion.logprobs
        before, entries = "", list(logprobs or ())
        if self._asked.echo and index not in self._num_written:
            before = self._prompt_text(output)
            entries = [*(output.prompt_logprobs or ()), *entries]
        offset = self._num_written.get(index, 0)
        self._num_written[index] = offset + len(before) + len(text)
        told: CompletionLogprobs | None = None
        if logprobs is not None:
            first_token = self._model.tokenizer.token_text(output.prompt_token_ids[0])
            told = completion_logprobs(entries, first_token, offset)
        return CompletionChoice(
            index, before + text, told, completion.finish_reason, completion.stop_reason
        )

    def _prompt_text(self, output: RequestOutput) -> str:
        if output.prompt is not None:
            return output.prompt
        return self._model.tokenizer.decode(output.prompt_token_ids)

    def _completion(self, choices: list[CompletionChoice], usage: Usage | None) -> Completion:
        answer = Completion(self._id, "text_completion", self._created_s, self._name, choices)
        if usage is not None:
            answer.usage = usage
        return answer
