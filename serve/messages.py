"""Messages of a chat as its template reads them: roles, and content that is plain text."""

from collections.abc import Sequence
from typing import Any

import msgspec

from .api_errors import ApiError
from .schemas.openai import ChatMessage, ContentPart, ToolCall

ROLES = {"developer": "system"}  # which templates do not know


def plain_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Raises ApiError for content that is not text."""
    return [_plain(index, message) for index, message in enumerate(messages)]


def _plain(index: int, message: ChatMessage) -> dict[str, Any]:
    for name in ("audio", "function_call"):
        if getattr(message, name) is not None:
            raise _refusal(index, f"has {name}, which is not supported; leave it out")
    plain: dict[str, Any] = {
        "role": ROLES.get(message.role, message.role),
        "content": _text(index, message),
        "name": message.name,
        "tool_call_id": message.tool_call_id,
        "reasoning_content": message.reasoning_content or message.reasoning,
    }
    if message.tool_calls:
        plain["tool_calls"] = [_plain_call(call) for call in message.tool_calls]
    return {name: value for name, value in plain.items() if value is not None}


def _plain_call(call: ToolCall) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(call)
    if isinstance(call.function.arguments, str):
        plain["function"]["arguments"] = plain_arguments(call.function.arguments)
    return plain


def plain_arguments(text: str) -> Any:
    """The arguments of a call as an object, or their text if they are none."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return text


def _text(index: int, message: ChatMessage) -> str | None:
    content = message.content
    if isinstance(content, list):
        content = "".join(_part_text(index, part) for part in content)
    if content is None and message.role not in ("assistant",):
        raise _refusal(index, f"of role {message.role} has no content; give a text")
    return message.refusal if content is None else content


def _part_text(index: int, part: ContentPart) -> str:
    if part.type == "refusal" and part.refusal is not None:
        return part.refusal
    if part.type not in ("text", "input_text", "output_text") or part.text is None:
        raise _refusal(index, f"has content of type={part.type[:100]!r}; only text is read")
    return part.text


def _refusal(index: int, reason: str) -> ApiError:
    return ApiError(400, f"messages[{index}] {reason}", param="messages")
