"""Anthropic's messages: the request, and what of it is honoured."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from .refusing import Refusing
from .tools import MAX_TOOLS, ToolName

_ONE_TIER = "there is one tier"


class SystemText(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A piece of the system's text; it is cached by its content, whatever it says of that."""

    type: Literal["text"]
    text: str
    cache_control: Any = None
    citations: Any = None


class MessageBlock(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A piece of a message: its type says which of the fields it has."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[Any] | None = None
    is_error: bool | None = None
    cache_control: Any = None
    citations: Any = None
    caller: Any = None
    source: Any = None


class AnthropicMessage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[MessageBlock]


class AnthropicTool(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A tool that the client has."""

    name: ToolName
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: Any = None


class AnthropicChoice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether the model calls tools."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Metadata(msgspec.Struct, forbid_unknown_fields=True):
    """Who asks, for the log of whoever wants it."""

    user_id: str | None = None


class CountRequest(Refusing, kw_only=True, forbid_unknown_fields=True):
    """A request for `/v1/messages/count_tokens`."""

    REFUSED: ClassVar[dict[str, tuple[tuple[Any, ...], str]]] = {
        "thinking": (({"type": "disabled"},), "how much is thought is not limited"),
        "service_tier": (("auto", "standard_only"), _ONE_TIER),
        "speed": (("standard",), _ONE_TIER),
        "container": ((), "no code is run here"),
        "diagnostics": ((), "there are none"),
        "inference_geo": ((), "the model runs where the server does"),
        "output_config": ((), "answers are as the model makes them"),
        "user_profile_id": ((), "there are no profiles"),
        "workspace_id": ((), "there are no workspaces"),
    }

    messages: Annotated[list[AnthropicMessage], Meta(min_length=1)]
    model: str | None = None
    system: str | list[SystemText] | None = None
    tools: Annotated[list[AnthropicTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: AnthropicChoice | None = None
    cache_control: Any = None  # prompts are cached by their content
    metadata: Metadata | None = None
    thinking: Any = None
    service_tier: Any = None
    speed: Any = None
    container: Any = None
    diagnostics: Any = None
    inference_geo: Any = None
    output_config: Any = None
    user_profile_id: Any = None
    workspace_id: Any = None


class MessagesRequest(CountRequest, kw_only=True, forbid_unknown_fields=True):
    """A request for `/v1/messages`."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


# ---- answers ----


class AnswerBlock(msgspec.Struct, omit_defaults=True):
    """A piece of the answer: text, thoughts, or a call."""

    type: Literal["text", "thinking", "tool_use"]
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class MessageUsage(msgspec.Struct):
    """Tokens of a request; those of the prompt that were cached are counted by themselves."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int = 0


class MessageAnswer(msgspec.Struct):
    """The answer of `/v1/messages`."""

    id: str
    model: str
    content: list[AnswerBlock]
    stop_reason: str | None
    stop_sequence: str | None
    usage: MessageUsage
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"


class TokenCount(msgspec.Struct):
    """The tokens of a prompt."""

    input_tokens: int
