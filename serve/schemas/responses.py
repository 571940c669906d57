"""OpenAI's responses: the request, and what of it is honoured."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from .formats import JsonSchema, ResponseFormat
from .refusing import Refusing
from .tools import MAX_TOOLS, Choice, Function, FunctionName, NamedTool, Tool, ToolName

LOGPROBS = "message.output_text.logprobs"  # what of `include` there is
Status = Literal["in_progress", "completed", "incomplete"]

_STORES_NOTHING = "nothing is stored here"
_NO_OTHER_TOOLS = "functions are the only tools"


class InputPart(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A piece of a message."""

    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: Any = None
    logprobs: Any = None
    image_url: Any = None
    file_id: Any = None
    detail: Any = None
    prompt_cache_breakpoint: Any = None


class InputItem(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A message, a call, what it gave, or thoughts: as an earlier answer had them."""

    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[InputPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[InputPart] | None = None
    summary: Any = None
    encrypted_content: Any = None
    id: str | None = None
    status: str | None = None
    phase: Any = None
    caller: Any = None


class ResponseTool(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A function that the client has."""

    type: Literal["function"]
    name: ToolName
    parameters: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ChosenFunction(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The function that has to be called."""

    type: Literal["function"]
    name: ToolName


class TextFormat(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the answer's text has to match."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the answer's text is to be."""

    format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None


class ResponsesRequest(Refusing, kw_only=True, forbid_unknown_fields=True):
    """A request for `/v1/responses`."""

    REFUSED: ClassVar[dict[str, tuple[tuple[Any, ...], str]]] = {
        "access_programs": ((), _NO_OTHER_TOOLS),
        "background": ((False,), _STORES_NOTHING),
        "background_options": ((), _STORES_NOTHING),
        "context_management": ((), "what does not fit is refused"),
        "conversation": ((), _STORES_NOTHING),
        "image": ((), "the model reads and writes text alone"),
        "include": (([LOGPROBS],), f"there is {LOGPROBS} alone"),
        "max_tool_calls": ((), "no tool is run here"),
        "moderation": ((), "nothing is moderated"),
        "previous_response_id": ((), _STORES_NOTHING),
        "prompt": ((), _STORES_NOTHING),
        "prompt_cache_options": ((), "prompts are cached by their content"),
        "prompt_cache_retention": (("in_memory",), "prompts are cached in memory"),
        "reasoning": (
            ({"effort": None}, {"effort": None, "summary": None}),
            "how much is thought is not limited",
        ),
        "service_tier": (("auto", "default"), "there is one tier"),
        "store": ((False,), _STORES_NOTHING),
        "truncation": (("disabled",), "what does not fit is refused"),
    }

    input: str | Annotated[list[InputItem], Meta(min_length=1)]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    text: TextOptions | None = None
    tools: Annotated[list[ResponseTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenFunction | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: dict[str, bool] | None = None  # there is but include_obfuscation
    metadata: dict[str, str] | None = None  # is in the answer again
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None  # prompts are found by their content anyway
    access_programs: Any = None
    background: Any = None
    background_options: Any = None
    context_management: Any = None
    conversation: Any = None
    image: Any = None
    include: Any = None
    max_tool_calls: Any = None
    moderation: Any = None
    previous_response_id: Any = None
    prompt: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    reasoning: Any = None
    service_tier: Any = None
    store: Any = None
    truncation: Any = None

    def response_format(self) -> ResponseFormat | None:
        """What the text has to match, as chats have it."""
        asked = self.text.format if self.text is not None else None
        if asked is None:
            return None
        if asked.type != "json_schema":
            return ResponseFormat(type=asked.type)
        return ResponseFormat(
            type="json_schema", json_schema=JsonSchema(name=asked.name or "", schema=asked.schema)
        )

    def chat_tools(self) -> list[Tool]:
        """The tools as chats have them."""
        return [
            Tool(
                type="function",
                function=Function(
                    name=tool.name,
                    description=tool.description,
                    parameters=tool.parameters,
                    strict=tool.strict,
                ),
            )
            for tool in self.tools or ()
        ]

    def chat_choice(self) -> Choice | None:
        """The choice among them as chats have it."""
        if isinstance(self.tool_choice, ChosenFunction):
            return NamedTool("function", FunctionName(self.tool_choice.name))
        return self.tool_choice


class Response(msgspec.Struct, kw_only=True):
    """The answer of `/v1/responses`."""

    id: str
    created_at: int
    model: str
    output: list[dict[str, Any]]
    status: Status
    incomplete_details: dict[str, str] | None
    usage: dict[str, Any] | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    temperature: float
    top_p: float
    text: TextOptions
    tools: list[ResponseTool]
    tool_choice: Any
    user: str | None
    object: Literal["response"] = "response"
    error: None = None
    previous_response_id: None = None
    store: bool = False
    truncation: Literal["disabled"] = "disabled"
