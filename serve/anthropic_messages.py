"""Anthropic's messages as chat templates read them."""

from collections.abc import Sequence
from typing import Any

from .api_errors import ApiError
from .schemas.anthropic import AnthropicMessage, AnthropicTool, MessageBlock, SystemText
from .schemas.tools import Function, Tool


def plain_conversation(
    system: str | list[SystemText] | None, messages: Sequence[AnthropicMessage]
) -> list[dict[str, Any]]:
    """Raises ApiError for content that is not text, thoughts or tools."""
    plain: list[dict[str, Any]] = []
    if system:
        text = system if isinstance(system, str) else "".join(part.text for part in system)
        plain.append({"role": "system", "content": text})
    for index, message in enumerate(messages):
        plain += _plain(index, message)
    return plain


def plain_tools(tools: Sequence[AnthropicTool] | None) -> list[Tool]:
    """The same tools in OpenAI's shape, which templates know."""
    return [
        Tool(
            type="function",
            function=Function(
                name=tool.name, description=tool.description, parameters=tool.input_schema
            ),
        )
        for tool in tools or ()
    ]


def _plain(index: int, message: AnthropicMessage) -> list[dict[str, Any]]:
    """A message, behind the results of tools that are in it."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    results, text, thoughts, calls = [], "", "", []
    for block in message.content:
        match block.type:
            case "text" if block.text is not None:
                text += block.text
            case "thinking" if block.thinking is not None:
                thoughts += block.thinking
            case "tool_use" if block.name is not None:
                calls.append(_call(block))
            case "tool_result" if block.tool_use_id is not None:
                results.append(_result(index, block))
            case _:
                raise _refusal(index, block.type)
    own = {
        "role": message.role,
        "content": text,
        "reasoning_content": thoughts,
        "tool_calls": calls,
    }
    own = {name: value for name, value in own.items() if value or name == "role"}
    return [*results, own] if len(own) > 1 or not results else results


def _call(block: MessageBlock) -> dict[str, Any]:
    function = {"name": block.name, "arguments": block.input or {}}
    return {"id": block.id, "type": "function", "function": function}


def _result(index: int, block: MessageBlock) -> dict[str, Any]:
    content = block.content or ""
    if isinstance(content, list):
        parts = [part if isinstance(part, dict) else {} for part in content]
        if not all(isinstance(part.get("text"), str) for part in parts):
            raise _refusal(index, "tool_result with other content than text")
        content = "".join(part["text"] for part in parts)
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}


def _refusal(index: int, kind: str) -> ApiError:
    return ApiError(
        400, f"messages[{index}] has a {kind[:100]} that is not read; give text", param="messages"
    )
