"""Renders a chat into the text of a prompt, as transformers' `apply_chat_template` does.

A template comes with a model, from whoever made it: it runs in jinja's immutable sandbox and sees
nothing but plain JSON data.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from ..errors import InputError, shown

Message = Mapping[str, Any]


class ChatTemplate:
    """A compiled template. Raises InputError if its text is not a template."""

    def __init__(self, text: str, special_tokens: Mapping[str, str]) -> None:
        self._special_tokens = dict(special_tokens)
        try:
            self._template = _environment().from_string(text)
        except TemplateError as error:
            raise InputError(f"the chat template cannot be read: {error}") from None

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **template_kwargs: Any,
    ) -> str:
        """The prompt. Raises InputError for an empty chat or what the template refuses."""
        _check_list("messages", messages)
        if not messages:
            raise InputError("messages=[] is empty; give at least one message")
        if tools is not None:
            _check_list("tools", tools)
        values: dict[str, Any] = {
            "documents": None,
            **self._special_tokens,
            **_plain("chat_template_kwargs", template_kwargs),
            "messages": [_message(message) for message in _plain("messages", list(messages))],
            "tools": _plain("tools", tools and list(tools)),
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._template.render(values)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"the chat template refuses the chat: {error}") from None


def _check_list(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{name}={shown(value)} is not a list of dicts")


def _plain(name: str, value: Any) -> Any:
    """A copy made of JSON types alone: an object's methods would be open to the template."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: {error}; give dicts, lists, strings and numbers") from None


def _message(message: Any) -> dict[str, Any]:
    """A message without its empty fields, its reasoning under each name that templates read."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InputError(f"message {shown(message)} is not a dict with a 'role' and a 'content'")
    kept = {key: value for key, value in message.items() if value is not None}
    for name in ("reasoning_content", "thinking", "reasoning"):
        if name in kept:
            return {"thinking": kept[name], **kept, "reasoning_content": kept[name]}
    return kept


class _GenerationTag(Extension):
    """`{% generation %}` marks what the model said, for training: here it changes nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Namespace(Namespace):
    """jinja's namespace without names that lead into Python's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        for name in dict(*args[1:], **kwargs):
            _check_name(name)
        Namespace.__init__(*args, **kwargs)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace cannot have the name {name!r}")


class _Dict:
    """`dict` without its attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)


def _tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """jinja's own filter escapes HTML, which models have not seen."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    names: dict[str, Callable[..., Any]] = {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    environment.globals.update(names)
    return environment
