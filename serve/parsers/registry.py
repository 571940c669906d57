"""Which format a model writes its calls in: by name, or by what its chat template shows."""

from collections.abc import Collection
from importlib import import_module

from .base import CallFormat, Parser
from .calls import CallParser
from .thinking import CLOSING

FORMATS = {  # in the order in which a template is asked
    "harmony": ".harmony",
    "hermes": ".hermes",
    "mistral": ".mistral",
    "llama3": ".llama3",
}


def call_format(name: str) -> CallFormat:
    """The format of a name that is in `FORMATS`."""
    module = import_module(FORMATS[name], __package__)
    found: CallFormat = module.FORMAT
    return found


def detect_call_format(template: str | None) -> CallFormat | None:
    """The format that a chat template shows; None if it shows none."""
    formats = map(call_format, FORMATS)
    return next((f for f in formats if any(mark in (template or "") for mark in f.marks)), None)


def calls_parser(found: CallFormat | None, tool_names: Collection[str]) -> Parser | None:
    """What reads one answer; None where it can hold nothing but text."""
    if found is not None and found.own_parser is not None:
        return found.own_parser(tool_names)
    return CallParser(found, tool_names) if found is not None and tool_names else None


def thinks(template: str | None) -> bool:
    """Whether a chat template speaks of thoughts in tags."""
    return CLOSING in (template or "")
