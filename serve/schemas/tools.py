"""The tools that a model may call, in OpenAI's shape, and which of them it has to."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..api_errors import ApiError

MAX_TOOLS = 128
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]


class Function(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A function that the client has."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class FunctionName(msgspec.Struct, forbid_unknown_fields=True):
    """One of the functions."""

    name: ToolName


class NamedTool(msgspec.Struct, forbid_unknown_fields=True):
    """The tool that has to be called."""

    type: Literal["function"]
    function: FunctionName


Choice = Literal["none", "auto", "required"] | NamedTool
Tools = Annotated[list[Tool], Meta(max_length=MAX_TOOLS)]


def offered(tools: list[Tool] | None, choice: Choice | None) -> list[Tool]:
    """The tools that the model is told of. Raises ApiError for a choice among others."""
    names = [tool.function.name for tool in tools or ()]
    if len(set(names)) < len(names):
        raise ApiError(400, "tools has two functions of one name; rename one", param="tools")
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise _refusal(f"tool_choice={choice.function.name} is none of tools; give one of them")
    if choice == "required" and not names:
        raise _refusal("tool_choice=required needs tools; give at least one")
    if isinstance(choice, NamedTool):
        return [tool for tool in tools or () if tool.function.name == choice.function.name]
    return [] if choice == "none" else list(tools or ())


def shown(tools: Sequence[Tool]) -> list[dict[str, Any]] | None:
    """Tools as chat templates read them; None for none. Whether calls are held to their schema is
    nothing to the model."""
    return [{"type": "function", "function": _shown(tool.function)} for tool in tools] or None


def _shown(function: Function) -> dict[str, Any]:
    fields = {"description": function.description, "parameters": function.parameters}
    given = {name: value for name, value in fields.items() if value is not None}
    return {"name": function.name, **given}


def must_call(choice: Choice | None) -> bool:
    """Whether the answer has to be calls."""
    return choice == "required" or isinstance(choice, NamedTool)


def _refusal(message: str) -> ApiError:
    return ApiError(400, message, param="tool_choice")
