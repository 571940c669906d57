"""OpenAI's completions and chats: requests with vLLM's further fields, answers and chunks."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .formats import ResponseFormat
from .logprobs import ChatLogprobs, CompletionLogprobs
from .sampling import SamplingRequest
from .tools import Choice, Tools

_STORES_NOTHING = "nothing is stored here"
_TEXT_ALONE = "the model reads and writes text alone"


class CompletionRequest(SamplingRequest, kw_only=True, forbid_unknown_fields=True):
    """A request for `/v1/completions`."""

    REFUSED: ClassVar[dict[str, tuple[tuple[Any, ...], str]]] = {
        "best_of": ((1,), "no completion is thrown away; ask for them by n"),
        "suffix": (("",), "text is only added at the end"),
    }

    prompt: str | list[str | int | list[int]]  # a text, token ids, or a list of either
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    logprobs: int | None = None
    echo: bool | None = None
    best_of: int | None = None
    suffix: str | None = None


class ContentPart(msgspec.Struct, kw_only=True):
    """A piece of a message; text is the only kind that is read."""

    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCall(msgspec.Struct):
    """A function's name and its arguments, as text or as an object."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class ToolCall(msgspec.Struct, kw_only=True):
    """A call that the model has made."""

    function: FunctionCall
    id: str | None = None
    type: Literal["function"] = "function"
    index: int | None = None


class ChatMessage(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    annotations: list[Any] | None = None
    audio: Any = None
    function_call: Any = None


class ChatRequest(SamplingRequest, kw_only=True, forbid_unknown_fields=True):
    """A request for `/v1/chat/completions`."""

    REFUSED: ClassVar[dict[str, tuple[tuple[Any, ...], str]]] = {
        "audio": ((), _TEXT_ALONE),
        "modalities": ((["text"],), _TEXT_ALONE),
        "prediction": ((), "no prediction is used"),
        "web_search_options": ((), "the web is not searched"),
        "moderation": ((), "nothing is moderated"),
        "functions": ((), "it is an older name of tools"),
        "function_call": ((), "it is an older name of tool_choice"),
        "reasoning_effort": ((), "how much is thought is not limited"),
        "verbosity": (("medium",), "answers are as long as the model makes them"),
        "service_tier": (("auto", "default"), "there is one tier; urgency is told by priority"),
        "store": ((False,), _STORES_NOTHING),
        "metadata": ((), _STORES_NOTHING),
        "prompt_cache_options": ((), "prompts are cached by their content"),
        "prompt_cache_retention": (("in_memory", "in-memory"), "prompts are cached in memory"),
    }

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    add_generation_prompt: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None  # prompts are found by their content anyway
    safety_identifier: str | None = None  # goes into the log
    audio: Any = None
    modalities: Any = None
    prediction: Any = None
    web_search_options: Any = None
    moderation: Any = None
    functions: Any = None
    function_call: Any = None
    response_format: ResponseFormat | None = None
    tools: Tools | None = None
    tool_choice: Choice | None = None
    reasoning_effort: Any = None
    verbosity: Any = None
    service_tier: Any = None
    store: Any = None
    metadata: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None


# ---- answers ----


class PromptTokensDetails(msgspec.Struct):
    """Of the prompt's tokens."""

    cached_tokens: int


class Usage(msgspec.Struct):
    """Tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class CompletionChoice(msgspec.Struct):
    """One completion, or what came to one."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: str | None
    stop_reason: int | str | None = None


class Completion(msgspec.Struct):
    """The answer of `/v1/completions`, and a chunk of its stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None | UnsetType = UNSET


class CalledFunction(msgspec.Struct):
    """The function that the model calls, and the text of its arguments."""

    arguments: str
    name: str | UnsetType = UNSET


class AnswerCall(msgspec.Struct):
    """A call that the model makes."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class AnswerMessage(msgspec.Struct):
    """What the model says."""

    role: Literal["assistant"]
    content: str | None
    refusal: None = None
    tool_calls: list[AnswerCall] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


class ChatChoice(msgspec.Struct):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: str
    stop_reason: int | str | None = None


class ChatCompletion(msgspec.Struct):
    """The answer of `/v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class CallDelta(msgspec.Struct):
    """What came to a call; its id, type and name come first."""

    index: int
    function: CalledFunction
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ChatDelta(msgspec.Struct):
    """What came to an answer."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[CallDelta] | UnsetType = UNSET


class ChatChunkChoice(msgspec.Struct):
    """What came to one answer."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: str | None
    stop_reason: int | str | None = None


class ChatChunk(msgspec.Struct):
    """A chunk of a chat's stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | None | UnsetType = UNSET


class ModelCard(msgspec.Struct):
    """A model that can be asked."""

    id: str
    created: int
    max_model_len: int
    object: Literal["model"] = "model"
    owned_by: str = "tapeout"


class ModelList(msgspec.Struct):
    """All of them."""

    data: list[ModelCard]
    object: Literal["list"] = "list"
