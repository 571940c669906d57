"""gpt-oss: thoughts, text and calls are messages on channels, each behind a header.

<|channel|>analysis<|message|>The user asks ...<|end|>
<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>
{"city": "Oslo"}<|call|>
<|start|>assistant<|channel|>final<|message|>It is sunny.<|return|>
"""

import re
from collections.abc import Callable, Collection

from .base import CallArguments, CallBegins, CallFormat, Content, Piece, Reasoning
from .stepwise import StepwiseParser, num_open

_MESSAGE = "<|message|>"
_BEGINNINGS = ("<|channel|>", "<|start|>")
_ENDS = ("<|end|>", "<|call|>", "<|return|>", *_BEGINNINGS)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"to=functions\.([\w.-]+)")
_MAX_HEADER = 512  # characters, beyond which nothing is a header any more


class HarmonyParser(StepwiseParser):
    """The parser of one answer."""

    def __init__(self, tool_names: Collection[str]) -> None:
        super().__init__()
        self._names = frozenset(tool_names)
        self._piece: Callable[[str], Piece] = Content  # what the message is made of
        self._read = self._read_header

    def _read_header(self) -> list[Piece]:
        """A text that begins otherwise is an answer without a header."""
        place = self._text.find(_MESSAGE, 0, _MAX_HEADER)
        if not self._may_be_header():
            opened = next(filter(self._text.startswith, _BEGINNINGS), "")
            self._piece, self._read = Content, self._read_message
            self._text = self._text[len(opened) :]
            return [Content(opened)] if opened else []
        if place < 0:
            return []
        header, self._text = self._text[:place], self._text[place + len(_MESSAGE) :]
        self._read = self._read_message
        recipient, channel = _RECIPIENT.search(header), _CHANNEL.search(header)
        if recipient is not None:
            if recipient[1] in self._names:
                self._piece = CallArguments
                return [CallBegins(recipient[1])]
            self._piece = Content
            return [Content(header + _MESSAGE)]
        self._piece = Reasoning if channel and channel[1] == "analysis" else Content
        return []

    def _read_message(self) -> list[Piece]:
        places = [place for end in _ENDS if (place := self._text.find(end)) >= 0]
        if places:
            end = min(places)
            told, self._text = self._text[:end], self._text[end:]
            self._read = self._read_end
        else:
            held = 0 if self._has_ended else max(num_open(self._text, end) for end in _ENDS)
            told = self._text[: len(self._text) - held]
            self._text = self._text[len(told) :]
        return [self._piece(told)] if told else []

    def _read_end(self) -> list[Piece]:
        """What ends a message, and the spaces before the next header, are nobody's."""
        for end in _ENDS[:3]:
            self._text = self._text.removeprefix(end)
        self._text = self._text.lstrip()
        if self._text or self._has_ended:
            self._read = self._read_header
        return []

    def _may_be_header(self) -> bool:
        text = self._text
        begins = any(text.startswith(b) or b.startswith(text) for b in _BEGINNINGS)
        is_whole = _MESSAGE in text[:_MAX_HEADER]
        return begins and (is_whole or (len(text) <= _MAX_HEADER and not self._has_ended))


FORMAT = CallFormat(
    opening="<|channel|>",
    forms=[],
    wording=None,
    marks=["<|channel|>"],
    is_special=True,
    own_parser=HarmonyParser,
)
