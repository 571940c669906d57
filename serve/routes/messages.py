"""`/v1/messages`: Anthropic's way to ask for the next message, and to count tokens."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...runtime.intake import RequestOptions
from ...runtime.sampling_params import SamplingParams
from ..anthropic_messages import plain_conversation, plain_tools
from ..api_errors import ApiError, anthropic_body
from ..blocks import Block, BlockEvent, Blocks
from ..event_stream import EventStream, named_event
from ..front import Front
from ..schemas.anthropic import (
    AnswerBlock,
    CountRequest,
    MessageAnswer,
    MessagesRequest,
    MessageUsage,
    TokenCount,
)
from ..schemas.tools import FunctionName, NamedTool, offered, shown
from ..turn import Conversation, Part, Turn, begin_turn
from .describing import described
from .reading import json_response, read

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}

_DELTAS = {
    "call": ("input_json_delta", "partial_json"),
    "thoughts": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
}


def build_router(front: Front) -> APIRouter:
    """The routes, over a front."""
    router = APIRouter()

    @router.post("/v1/messages", **described(MessagesRequest, MessageAnswer, is_stream=True))
    async def create_message(request: Request) -> Response:
        """Answers a conversation."""
        asked, state = await read(request, MessagesRequest), request.scope["state"]
        asked.check()
        name = front.model.name(asked.model)
        options = RequestOptions(tenant=state["tenant"], timeout_s=front.options.request_timeout_s)
        turn = await begin_turn(front, state, _conversation(asked, options))
        answer = _Answer(turn, name, state["request_id"])
        if asked.stream:
            return _Stream(answer.events(), b"", front.options.write_timeout_s)
        return json_response(await answer.whole())

    @router.post("/v1/messages/count_tokens", **described(CountRequest, TokenCount))
    async def count_tokens(request: Request) -> Response:
        """Counts the tokens of a conversation."""
        asked = await read(request, CountRequest)
        asked.check()
        front.model.name(asked.model)
        messages = plain_conversation(asked.system, asked.messages)
        token_ids = await front.model.encode_chat(messages, tools=shown(_tools(asked)))
        return json_response(TokenCount(len(token_ids)))

    return router


def _conversation(asked: MessagesRequest, options: RequestOptions) -> Conversation:
    choice = asked.tool_choice
    has_one = choice is not None and choice.disable_parallel_tool_use
    return Conversation(
        messages=plain_conversation(asked.system, asked.messages),
        params=SamplingParams.from_optional(
            max_tokens=asked.max_tokens,
            stop=asked.stop_sequences,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k,
        ),
        options=options,
        tools=_tools(asked),
        must_call=choice is not None and choice.type in ("any", "tool"),
        max_calls=1 if has_one else None,
        is_stream=bool(asked.stream),
    )


def _tools(asked: CountRequest) -> Any:
    """What is offered, by Anthropic's words for the choice."""
    tools, choice = plain_tools(asked.tools), asked.tool_choice
    if choice is None:
        return offered(tools, None)
    match choice.type:
        case "any":
            return offered(tools, "required")
        case "tool":
            return offered(tools, NamedTool("function", FunctionName(choice.name or "")))
        case "none":
            return offered(tools, "none")
    return offered(tools, "auto")


class _Stream(EventStream):
    """Events of Anthropic's, also the one of an error."""

    def error_event(self, error: ApiError) -> bytes:
        """The last event of a stream that fails."""
        return named_event("error", anthropic_body(error))


class _Answer:
    """Writes a turn in the shape of its answer."""

    def __init__(self, turn: Turn, name: str, request_id: str) -> None:
        self._turn, self._name, self._id = turn, name, f"msg_{request_id}"
        self._blocks = Blocks()

    async def whole(self) -> MessageAnswer:
        """The answer at once."""
        async for part in self._turn.parts():
            self._blocks.add(part.pieces)
            reason, sequence = _stop(part)
        content = [_whole_block(block) for block in self._blocks.all]
        return MessageAnswer(self._id, self._name, content, reason, sequence, self._usage())

    async def events(self) -> AsyncIterator[bytes]:
        """The answer piece by piece."""
        is_first = True
        async for part in self._turn.parts():
            if is_first:
                is_first = False
                begun = MessageAnswer(self._id, self._name, [], None, None, self._usage())
                yield named_event("message_start", {"type": "message_start", "message": begun})
            for event in self._blocks.add(part.pieces):
                yield _block_event(event)
            if part.finish_reason is not None:
                for event in self._blocks.end():
                    yield _block_event(event)
                reason, sequence = _stop(part)
                delta = {"stop_reason": reason, "stop_sequence": sequence}
                told = {"type": "message_delta", "delta": delta, "usage": self._usage()}
                yield named_event("message_delta", told)
        yield named_event("message_stop", {"type": "message_stop"})

    def _usage(self) -> MessageUsage:
        tally = self._turn.tally
        num_cached = tally.num_cached_tokens
        return MessageUsage(
            tally.num_prompt_tokens - num_cached, tally.num_output_tokens, num_cached
        )


def _stop(part: Part) -> tuple[str | None, str | None]:
    """Why the answer ends, and the stop sequence if that is it."""
    sequence = part.completion.stop_reason
    if isinstance(sequence, str):
        return "stop_sequence", sequence
    return _STOP_REASONS.get(part.finish_reason or "", part.finish_reason), None


def _whole_block(block: Block) -> AnswerBlock:
    if block.kind == "call":
        return AnswerBlock("tool_use", id=_call_id(block), name=block.name, input=_input(block))
    if block.kind == "thoughts":
        return AnswerBlock("thinking", thinking=block.text, signature="")
    return AnswerBlock("text", text=block.text)


def _block_event(event: BlockEvent) -> bytes:
    block = event.block
    told: dict[str, Any] = {"index": event.place}
    match event.what:
        case "begin":
            return _told("content_block_start", told | {"content_block": _begun(block)})
        case "more":
            kind, field = _DELTAS[block.kind]
            delta = {"type": kind, field: event.text}
            return _told("content_block_delta", told | {"delta": delta})
    return _told("content_block_stop", told)


def _begun(block: Block) -> dict[str, Any]:
    if block.kind == "call":
        return {"type": "tool_use", "id": _call_id(block), "name": block.name, "input": {}}
    if block.kind == "thoughts":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _told(name: str, fields: dict[str, Any]) -> bytes:
    return named_event(name, {"type": name, **fields})


def _call_id(block: Block) -> str:
    return f"toolu_{block.id}"


def _input(block: Block) -> Any:
    """The arguments as an object; what the model has left unfinished is none."""
    try:
        return json.loads(block.text)
    except ValueError:
        return {}
