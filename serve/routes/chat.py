"""`/v1/chat/completions`: a chat in, the next message out."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...runtime.outputs import CompletionOutput
from ...runtime.sampling_params import SamplingParams
from ..api_errors import ApiError
from ..event_stream import EventStream, data_event
from ..front import Front
from ..messages import plain_messages
from ..parsers.base import CallArguments, CallBegins, Content, Piece, Reasoning
from ..schemas.logprobs import ChatLogprobs, chat_logprobs
from ..schemas.openai import (
    AnswerCall,
    AnswerMessage,
    CallDelta,
    CalledFunction,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatRequest,
    Usage,
)
from ..schemas.tools import must_call, offered
from ..turn import Conversation, Part, Turn, begin_turn, called
from .describing import described
from .reading import json_response, read, request_options

_DONE = b"data: [DONE]\n\n"


def build_router(front: Front) -> APIRouter:
    """The route, over a front."""
    router = APIRouter()

    @router.post("/v1/chat/completions", **described(ChatRequest, ChatCompletion, is_stream=True))
    async def create_chat_completion(request: Request) -> Response:
        """Answers a chat."""
        asked, state = await read(request, ChatRequest), request.scope["state"]
        asked.check()
        name = front.model.name(asked.model)
        turn = await begin_turn(front, state, _conversation(front, request, asked))
        answer = _Answer(turn, asked, name, state["request_id"])
        if asked.stream:
            return EventStream(answer.events(), _DONE, front.options.write_timeout_s)
        return json_response(await answer.whole())

    return router


def _conversation(front: Front, request: Request, asked: ChatRequest) -> Conversation:
    return Conversation(
        messages=plain_messages(asked.messages),
        params=_params(asked),
        options=request_options(front, request, asked),
        tools=offered(asked.tools, asked.tool_choice),
        must_call=must_call(asked.tool_choice),
        max_calls=1 if asked.parallel_tool_calls is False else None,
        template_values=_template_values(asked),
        is_stream=bool(asked.stream),
    )


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
    """Writes a turn in the shape of its answer."""

    def __init__(self, turn: Turn, asked: ChatRequest, name: str, request_id: str) -> None:
        self._turn, self._asked, self._name = turn, asked, name
        self._id, self._created_s = f"chatcmpl-{request_id}", int(time.time())
        self._begun: set[int] = set()  # choices whose role has been told
        self._num_calls: Counter[int] = Counter()  # of each choice, so far

    async def whole(self) -> ChatCompletion:
        """The answer at once."""
        choices = {part.index: self._choice(part) async for part in self._turn.parts()}
        return ChatCompletion(
            self._id,
            "chat.completion",
            self._created_s,
            self._name,
            [choices[index] for index in sorted(choices)],
            self._turn.tally.usage(),
        )

    async def events(self) -> AsyncIterator[bytes]:
        """The answer piece by piece."""
        options, tally = self._asked.stream_options, self._turn.tally
        always_usage = bool(options and options.continuous_usage_stats)
        async for part in self._turn.parts():
            usage = tally.usage() if always_usage else None
            for choice in self._chunk_choices(part):
                yield data_event(self._chunk([choice], usage))
        if self._asked.wants_usage:
            yield data_event(self._chunk([], tally.usage()))

    def _choice(self, part: Part) -> ChatChoice:
        message = AnswerMessage("assistant", _joined(part.pieces, Content) or None)
        calls = [
            AnswerCall(_call_id(), CalledFunction(arguments, name))
            for name, arguments in called(part.pieces)
        ]
        if calls:
            message.tool_calls = calls
        else:
            message.content = message.content or ""
        if thoughts := _joined(part.pieces, Reasoning):
            message.reasoning_content = thoughts
        return ChatChoice(
            part.index,
            message,
            self._logprobs(part.completion),
            part.finish_reason or "",
            part.completion.stop_reason,
        )

    def _chunk_choices(self, part: Part) -> list[ChatChunkChoice]:
        """The role first, by itself; then a chunk for each piece; the end is in the last."""
        deltas, index = [self._delta(part.index, piece) for piece in part.pieces], part.index
        logprobs, reason = self._logprobs(part.completion), part.finish_reason
        if not deltas and (reason or (logprobs and logprobs.content)):
            deltas = [ChatDelta(content="")]
        choices = [ChatChunkChoice(index, delta, None, None) for delta in deltas]
        if choices:
            choices[0].logprobs = logprobs
            choices[-1].finish_reason, choices[-1].stop_reason = reason, part.completion.stop_reason
        if index not in self._begun:
            self._begun.add(index)
            choices.insert(0, ChatChunkChoice(index, ChatDelta("assistant", ""), None, None))
        return choices

    def _delta(self, index: int, piece: Piece) -> ChatDelta:
        match piece:
            case Content(text):
                return ChatDelta(content=text)
            case Reasoning(text):
                return ChatDelta(reasoning_content=text)
            case CallBegins(name):
                self._num_calls[index] += 1
                call = CallDelta(
                    self._num_calls[index] - 1, CalledFunction("", name), _call_id(), "function"
                )
            case CallArguments(text):
                call = CallDelta(self._num_calls[index] - 1, CalledFunction(text))
        return ChatDelta(tool_calls=[call])

    def _logprobs(self, completion: CompletionOutput) -> ChatLogprobs | None:
        if completion.logprobs is None:
            return None
        return chat_logprobs(completion.logprobs, self._asked.top_logprobs or 0)

    def _chunk(self, choices: list[ChatChunkChoice], usage: Usage | None) -> ChatChunk:
        chunk = ChatChunk(self._id, "chat.completion.chunk", self._created_s, self._name, choices)
        if usage is not None:
            chunk.usage = usage
        return chunk


def _call_id() -> str:
    return f"call_{uuid4().hex[:24]}"


def _joined(pieces: list[Piece], kind: type[Content] | type[Reasoning]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, kind))
