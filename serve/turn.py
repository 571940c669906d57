"""The model's turn in a chat, whichever API it was asked through."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from ..runtime.grammars.params import StructuredOutputsParams
from ..runtime.intake import RequestOptions
from ..runtime.outputs import CompletionOutput
from ..runtime.sampling_params import SamplingParams
from ..runtime.stream import Stream
from .answer_parser import AnswerParser
from .api_errors import ApiError
from .front import Ask, Front, merged
from .parsers.base import CallArguments, CallBegins, Piece
from .schemas.tools import Tool, shown
from .served_model import ServedModel
from .tally import Tally
from .tool_grammar import Calls


class Conversation(msgspec.Struct, kw_only=True):
    """A chat, and how the next message is to be made."""

    messages: list[dict[str, Any]]  # as chat templates read them
    params: SamplingParams
    options: RequestOptions
    tools: list[Tool] = []
    must_call: bool = False
    max_calls: int | None = None
    template_values: dict[str, Any] = {}
    is_stream: bool = False


class Part(msgspec.Struct, frozen=True):
    """What came to one of the answers."""

    index: int
    pieces: list[Piece]
    completion: CompletionOutput  # of which the pieces were made
    finish_reason: str | None  # "tool_calls" where the answer ends with calls


class Turn:
    """The answers of one request on their way."""

    def __init__(
        self, streams: Sequence[Stream], parsers: Sequence[AnswerParser], tally: Tally
    ) -> None:
        self._streams, self._parsers, self.tally = streams, parsers, tally

    async def parts(self) -> AsyncIterator[Part]:
        """All that comes; of what is not streamed, each answer at once."""
        async for _, output in merged(self._streams):
            self.tally.add(output)
            for completion in output.outputs:
                parser, reason = self._parsers[completion.index], completion.finish_reason
                pieces = parser.feed(completion.text, is_last=reason is not None)
                has_called = reason == "stop" and parser.num_calls > 0
                yield Part(
                    completion.index, pieces, completion, "tool_calls" if has_called else reason
                )


def called(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """The names and arguments of all calls in the pieces of a whole answer."""
    calls: list[tuple[str, str]] = []
    for piece in pieces:
        if isinstance(piece, CallBegins):
            calls.append((piece.name, ""))
        elif isinstance(piece, CallArguments):
            name, arguments = calls[-1]
            calls[-1] = name, arguments + piece.text
    return calls


def constraint(
    model: ServedModel, asked: Conversation, is_open: bool | None
) -> StructuredOutputsParams | None:
    """What the answer is held to, all in all; thoughts, if there may be any, go before it.

    `is_open` is what `model.thinking` gave. Raises ApiError for what cannot be had together.
    """
    own, tools, call_format = asked.params.structured_outputs, asked.tools, model.call_format
    is_strict = asked.must_call or any(tool.function.strict for tool in tools)
    schema = own.schema if own is not None else None
    if tools and own is not None and schema is None:
        raise ApiError(
            400,
            f"structured_outputs.{own.kind} cannot be had with tools; give a JSON schema",
            param="structured_outputs",
        )
    holds_calls = bool(tools) and (is_strict or own is not None)
    if not holds_calls and (schema is None or is_open is None):
        return own
    if holds_calls and call_format is not None and call_format.wording is None:
        raise ApiError(
            400,
            "in this model's format calls cannot be held to anything: leave tool_choice at auto, "
            "and strict and response_format out",
            param="tools",
        )
    thoughts = "" if is_open is None else model.grammar_writer.thoughts(is_open)
    calls = None
    if tools and call_format is not None and call_format.wording is not None:
        functions = [tool.function for tool in tools]
        calls = Calls(call_format, functions, asked.must_call, asked.max_calls != 1)
    return model.grammar_writer.answer(thoughts, calls, schema)


async def begin_turn(front: Front, state: dict[str, Any], asked: Conversation) -> Turn:
    """Sends a chat to the engine.

    `state` is the request's, of the gate. Raises ApiError, InputError and EngineDeadError.
    """
    model = front.model
    if asked.tools and model.call_format is None:
        raise ApiError(
            400,
            "tools cannot be offered: the model's chat template shows no format of calls that is "
            "known; leave them out",
            param="tools",
        )
    params = await model.checked(asked.params)
    call_format = model.call_format
    if call_format is not None and (asked.tools or call_format.own_parser):
        params.skip_special_tokens = params.skip_special_tokens and not call_format.is_special
    prompt = await model.chat_prompt(
        asked.messages, params, tools=shown(asked.tools), **asked.template_values
    )
    held = constraint(model, asked, model.thinking(prompt))
    if held is not params.structured_outputs:
        params.structured_outputs = held
        params = await model.checked(params)
    names = [tool.function.name for tool in asked.tools]
    parsers = [model.parser(prompt, names, asked.max_calls) for _ in range(params.n)]
    ask = Ask(prompt, params, asked.options)
    streams = front.ask([ask], asked.is_stream, state["exits"])
    return Turn(streams, parsers, front.tally(state))
