"""The input of a response as chat templates read it."""

from collections.abc import Sequence
from typing import Any

from .api_errors import ApiError
from .messages import ROLES, plain_arguments
from .schemas.responses import InputItem, InputPart

_TEXTS = ("input_text", "output_text", "text", "reasoning_text")


def plain_input(instructions: str | None, given: str | Sequence[InputItem]) -> list[dict[str, Any]]:
    """Messages; calls and thoughts go into the assistant's. Raises ApiError for what is no text."""
    plain: list[dict[str, Any]] = []
    if instructions:
        plain.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        return [*plain, {"role": "user", "content": given}]
    for index, item in enumerate(given):
        _add(plain, index, item)
    return plain


def _add(plain: list[dict[str, Any]], index: int, item: InputItem) -> None:
    match item.type:
        case "function_call" if item.name is not None and item.call_id is not None:
            function = {"name": item.name, "arguments": plain_arguments(item.arguments or "{}")}
            call = {"id": item.call_id, "type": "function", "function": function}
            _assistant(plain).setdefault("tool_calls", []).append(call)
        case "function_call_output" if item.call_id is not None:
            content = _text(index, item.output)
            plain.append({"role": "tool", "tool_call_id": item.call_id, "content": content})
        case "reasoning":
            if item.content:
                _assistant(plain)["reasoning_content"] = _text(index, item.content)
        case "message" if item.role is not None and item.content is not None:
            if item.role != "assistant":
                plain.append({"role": ROLES.get(item.role, item.role)})
            message = _assistant(plain) if item.role == "assistant" else plain[-1]
            message["content"] = _text(index, item.content)
        case _:
            raise _refusal(index, f"of type={item.type} lacks what belongs to it")


def _assistant(plain: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message at the end, which thoughts, text and calls come to in this order."""
    last = plain[-1] if plain else {}
    if last.get("role") != "assistant" or "content" in last and "tool_calls" in last:
        plain.append({"role": "assistant"})
    return plain[-1]


def _text(index: int, content: str | Sequence[InputPart] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type not in _TEXTS or part.text is None:
            raise _refusal(index, f"has content of type={part.type[:100]}; only text is read")
    return "".join(part.text or "" for part in content)


def _refusal(index: int, reason: str) -> ApiError:
    return ApiError(400, f"input[{index}] {reason}", param="input")
