"""`/v1/chat/completions`: a chat in, the next message out."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...runtime.outputs import CompletionOutput, RequestOutput
from ...runtime.sampling_params import SamplingParams
from ...runtime.stream import Stream
from ..api_errors import ApiError
from ..event_stream import EventStream, data_event
from ..front import Ask, Front, final_outputs, merged
from ..messages import plain_messages
from ..schemas.logprobs import ChatLogprobs, chat_logprobs
from ..schemas.openai import (
    AnswerMessage,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatRequest,
    Usage,
)
from ..served_model import ServedModel
from ..tally import Tally
from .describing import described
from .reading import json_response, read, request_options

_DONE = b"data: [DONE]\n\n"


def build_router(front: Front) -> APIRouter:
    """The route, over a front."""
    router = APIRouter()

    @router.post("/v1/chat/completions", **described(ChatRequest, ChatCompletion, is_stream=True))
    async def create_chat_completion(request: Request) -> Response:
        """Answers a chat."""
        state = request.scope["state"]
        asked = await read(request, ChatRequest)
        asked.check()
        answer = _Answer(front.model, asked, front.tally(state), state["request_id"])
        params = await front.model.checked(_params(asked))
        prompt = await front.model.chat_prompt(
            plain_messages(asked.messages), params, **_template_values(asked)
        )
        asks = [Ask(prompt, params, request_options(front, request, asked))]
        streams = front.ask(asks, bool(asked.stream), state["exits"])
        if asked.stream:
            return EventStream(answer.events(streams), _DONE, front.options.write_timeout_s)
        [output] = await final_outputs(streams)
        return json_response(answer.whole(output))

    return router


def _params(asked: ChatRequest) -> SamplingParams:
    if asked.top_logprobs and not asked.logprobs:
        raise ApiError(
            400, "top_logprobs needs logprobs; set logprobs to true", param="top_logprobs"
        )
    logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    max_tokens = asked.max_completion_tokens or asked.max_tokens
    return asked.params(asked.response_format, logprobs=logprobs, max_tokens=max_tokens)


def _template_values(asked: ChatRequest) -> dict[str, Any]:
    kwargs = asked.chat_template_kwargs or {}
    reserved = {"messages", "tools", "add_generation_prompt"} & kwargs.keys()
    if reserved:
        raise ApiError(
            400,
            f"chat_template_kwargs has {min(reserved)}, which is a field of the request; move it",
            param="chat_template_kwargs",
        )
    return {**kwargs, "add_generation_prompt": asked.add_generation_prompt is not False}


class _Answer:
    """Writes the outputs of a request in the shape of its answer."""

    def __init__(
        self, model: ServedModel, asked: ChatRequest, tally: Tally, request_id: str
    ) -> None:
        self._tally = tally
        self._asked = asked
        self._id, self._created_s = f"chatcmpl-{request_id}", int(time.time())
        self._name = model.name(asked.model)
        self._begun: set[int] = set()  # choices whose role has been told

    def whole(self, output: RequestOutput) -> ChatCompletion:
        """The answer at once."""
        self._tally.add(output)
        return ChatCompletion(
            self._id,
            "chat.completion",
            self._created_s,
            self._name,
            [self._choice(completion) for completion in output.outputs],
            self._tally.usage(),
        )

    async def events(self, streams: Sequence[Stream]) -> AsyncIterator[bytes]:
        """The answer piece by piece."""
        options = self._asked.stream_options
        always_usage = bool(options and options.continuous_usage_stats)
        async for _, output in merged(streams):
            self._tally.add(output)
            for completion in output.outputs:
                usage = self._tally.usage() if always_usage else None
                for choice in self._chunk_choices(completion):
                    yield data_event(self._chunk([choice], usage))
        if self._asked.wants_usage:
            yield data_event(self._chunk([], self._tally.usage()))

    def _choice(self, completion: CompletionOutput) -> ChatChoice:
        return ChatChoice(
            completion.index,
            AnswerMessage("assistant", completion.text),
            self._logprobs(completion),
            completion.finish_reason or "",
            completion.stop_reason,
        )

    def _chunk_choices(self, completion: CompletionOutput) -> list[ChatChunkChoice]:
        """The role first, by itself; then text that is not empty; then the end."""
        choices, index = [], completion.index
        if index not in self._begun:
            self._begun.add(index)
            choices.append(ChatChunkChoice(index, ChatDelta("assistant", ""), None, None))
        logprobs, reason = self._logprobs(completion), completion.finish_reason
        if completion.text or reason or (logprobs and logprobs.content):
            delta = ChatDelta(content=completion.text)
            choices.append(ChatChunkChoice(index, delta, logprobs, reason, completion.stop_reason))
        return choices

    def _logprobs(self, completion: CompletionOutput) -> ChatLogprobs | None:
        if completion.logprobs is None:
            return None
        return chat_logprobs(completion.logprobs, self._asked.top_logprobs or 0)

    def _chunk(self, choices: list[ChatChunkChoice], usage: Usage | None) -> ChatChunk:
        chunk = ChatChunk(self._id, "chat.completion.chunk", self._created_s, self._name, choices)
        if usage is not None:
            chunk.usage = usage
        return chunk
