"""`/v1/responses`: OpenAI's newer way to ask for an answer; nothing of it is stored."""

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response as HttpResponse

from ...runtime.intake import RequestOptions
from ...runtime.logprobs import LogprobsOfToken
from ...runtime.sampling_params import SamplingParams
from ..api_errors import ApiError
from ..blocks import Block, BlockEvent, Blocks
from ..event_stream import EventStream, named_event
from ..front import Front
from ..response_input import plain_input
from ..schemas.formats import constraint
from ..schemas.logprobs import chat_logprobs
from ..schemas.responses import (
    LOGPROBS,
    Response,
    ResponsesRequest,
    Status,
    TextFormat,
    TextOptions,
)
from ..schemas.tools import offered
from ..tally import Tally
from ..turn import Conversation, Part, Turn, begin_turn
from .describing import described
from .reading import json_response, read


def build_router(front: Front) -> APIRouter:
    """The route, over a front."""
    router = APIRouter()

    @router.post("/v1/responses", **described(ResponsesRequest, Response, is_stream=True))
    async def create_response(request: Request) -> HttpResponse:
        """Answers a conversation."""
        asked, state = await read(request, ResponsesRequest), request.scope["state"]
        asked.check()
        name = front.model.name(asked.model)
        options = RequestOptions(tenant=state["tenant"], timeout_s=front.options.request_timeout_s)
        turn = await begin_turn(front, state, _conversation(asked, options))
        answer = _Answer(turn, asked, name, state["request_id"])
        if asked.stream:
            return _Stream(answer, front.options.write_timeout_s)
        return json_response(await answer.whole())

    return router


def _conversation(asked: ResponsesRequest, options: RequestOptions) -> Conversation:
    wants_logprobs = asked.include == [LOGPROBS] or bool(asked.top_logprobs)
    return Conversation(
        messages=plain_input(asked.instructions, asked.input),
        params=SamplingParams.from_optional(
            max_tokens=asked.max_output_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            logprobs=(asked.top_logprobs or 0) if wants_logprobs else None,
            structured_outputs=constraint(asked.response_format(), None),
        ),
        options=options,
        tools=offered(asked.chat_tools(), asked.chat_choice()),
        max_calls=1 if asked.parallel_tool_calls is False else None,
        is_stream=bool(asked.stream),
    )


class _Answer:
    """Writes a turn in the shape of its answer."""

    def __init__(self, turn: Turn, asked: ResponsesRequest, name: str, request_id: str) -> None:
        self._turn, self._asked, self._name = turn, asked, name
        self._id, self._created_s = f"resp_{request_id}", int(time.time())
        self._blocks = Blocks()
        self._logprobs: list[LogprobsOfToken] = []  # of the text, until its end
        self._num_events = 0

    async def whole(self) -> Response:
        """The answer at once."""
        reason = None
        async for part in self._turn.parts():
            self._blocks.add(part.pieces)
            self._logprobs += part.completion.logprobs or ()
            reason = part.finish_reason
        return self._response(reason)

    async def events(self) -> AsyncIterator[bytes]:
        """The answer piece by piece."""
        is_first = True
        async for part in self._turn.parts():
            if is_first:
                is_first = False
                for name in ("response.created", "response.in_progress"):
                    yield self.event(name, response=self._response(None))
            for told in self._part_events(part):
                yield told
            if part.finish_reason is not None:
                whole = self._response(part.finish_reason)
                yield self.event(f"response.{whole.status}", response=whole)

    def event(self, name: str, **fields: Any) -> bytes:
        """The next event of the stream."""
        self._num_events += 1
        return named_event(name, {"type": name, "sequence_number": self._num_events - 1, **fields})

    def _part_events(self, part: Part) -> list[bytes]:
        self._logprobs += part.completion.logprobs or ()
        happened = self._blocks.add(part.pieces)
        if part.finish_reason is not None:
            happened += self._blocks.end()
        return [told for event in happened for told in self._block_events(event)]

    def _block_events(self, event: BlockEvent) -> list[bytes]:
        place = {"output_index": event.place}
        block, at = event.block, place | {"item_id": _item_id(event.block)}
        match event.what:
            case "begin":
                item = self._item(Block(block.kind, block.name, "", block.id), "in_progress")
                told = [self.event("response.output_item.added", item=item, **place)]
                if block.kind != "call":
                    part = _content(block.kind, "", [])
                    told.append(self._in_part("response.content_part.added", at, part=part))
                return told
            case "more":
                return [self._delta(block, at, event.text)]
        told = self._block_done(block, at)
        item = self._item(block, "completed")
        return [*told, self.event("response.output_item.done", item=item, **place)]

    def _delta(self, block: Block, at: dict[str, Any], text: str) -> bytes:
        match block.kind:
            case "call":
                return self.event("response.function_call_arguments.delta", delta=text, **at)
            case "thoughts":
                return self._in_part("response.reasoning_text.delta", at, delta=text)
        return self._in_part("response.output_text.delta", at, delta=text, logprobs=[])

    def _block_done(self, block: Block, at: dict[str, Any]) -> list[bytes]:
        text = block.text
        if block.kind == "call":
            return [self.event("response.function_call_arguments.done", arguments=text, **at)]
        part = _content(block.kind, text, self._told_logprobs())
        if block.kind == "thoughts":
            done = self._in_part("response.reasoning_text.done", at, text=text)
        else:
            fields = {"text": text, "logprobs": part["logprobs"]}
            done = self._in_part("response.output_text.done", at, **fields)
        return [done, self._in_part("response.content_part.done", at, part=part)]

    def _in_part(self, name: str, at: dict[str, Any], **fields: Any) -> bytes:
        return self.event(name, content_index=0, **at, **fields)

    def _response(self, finish_reason: str | None) -> Response:
        """How the answer stands; a reason says that it is whole."""
        asked, tally = self._asked, self._turn.tally
        is_cut = finish_reason == "length"
        status: Status = "incomplete" if is_cut else "completed"
        format_asked = asked.text.format if asked.text else None
        return Response(
            id=self._id,
            created_at=self._created_s,
            model=self._name,
            output=[self._item(block, "completed") for block in self._blocks.all],
            status=status if finish_reason else "in_progress",
            incomplete_details={"reason": "max_output_tokens"} if is_cut else None,
            usage=_usage(tally) if finish_reason else None,
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            metadata=asked.metadata or {},
            parallel_tool_calls=asked.parallel_tool_calls is not False,
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            text=TextOptions(format=format_asked or TextFormat(type="text")),
            tools=asked.tools or [],
            tool_choice=asked.tool_choice or "auto",
            user=asked.user,
        )

    def _item(self, block: Block, status: str) -> dict[str, Any]:
        """A block as an item of the output."""
        item = {"id": _item_id(block), "status": status}
        content = [_content(block.kind, block.text, self._told_logprobs())] if block.text else []
        match block.kind:
            case "call":
                called = {"name": block.name, "arguments": block.text}
                return {"type": "function_call", "call_id": f"call_{block.id}", **item, **called}
            case "thoughts":
                return {"type": "reasoning", "summary": [], "content": content, **item}
        return {"type": "message", "role": "assistant", "content": content, **item}

    def _told_logprobs(self) -> list[dict[str, Any]]:
        told = chat_logprobs(self._logprobs, self._asked.top_logprobs or 0).content
        return [msgspec.to_builtins(entry) for entry in told]


class _Stream(EventStream):
    """Events of this API, also the one of an error."""

    def __init__(self, answer: _Answer, write_timeout_s: float) -> None:
        super().__init__(answer.events(), b"", write_timeout_s)
        self._answer = answer

    def error_event(self, error: ApiError) -> bytes:
        """The last event of a stream that fails."""
        fields = {"code": error.code, "message": error.message, "param": error.param}
        return self._answer.event("error", **fields)


def _item_id(block: Block) -> str:
    prefix = {"call": "fc", "thoughts": "rs", "text": "msg"}[block.kind]
    return f"{prefix}_{block.id}"


def _content(kind: str, text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    if kind == "thoughts":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def _usage(tally: Tally) -> dict[str, Any]:
    usage = tally.usage()
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.prompt_tokens_details.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }
