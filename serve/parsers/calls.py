"""Follows the text of an answer and tells tool calls from content.

A call is believed when its name is that of a tool and its arguments have begun; from then on the
arguments are told as they come. What turns out to be no call before that is content, as it stands.
"""

from collections.abc import Collection

from .base import CallArguments, CallBegins, CallFormat, Content, Form, Piece
from .stepwise import StepwiseParser, num_open

_MAX_HEADER = 512  # characters, beyond which nothing is a call any more


class CallParser(StepwiseParser):
    """The parser of one answer in any format."""

    def __init__(self, call_format: CallFormat, tool_names: Collection[str]) -> None:
        super().__init__()
        self._format, self._names = call_format, frozenset(tool_names)
        self._opened = ""  # what a header is behind: content after all if there is none
        self._form = call_format.forms[0]
        self._object = _ObjectEnd()
        self._has_called = False
        self._read = self._read_header if call_format.begins_bare else self._read_content

    # ---- what is read: each takes what is certain from the text, and says what comes next ----

    def _read_content(self) -> list[Piece]:
        """Spaces before a call are no content, so they wait for what follows."""
        opening = self._format.opening
        place = self._text.find(opening)
        if place >= 0:
            content = self._text[:place].rstrip()
            self._opened = self._text[len(content) : place + len(opening)]
            self._text = self._text[place + len(opening) :]
            self._read = self._read_header
        elif self._has_ended:
            content, self._text = self._text, ""
            if self._has_called and not content.strip():
                return []
        else:
            content = self._text[: len(self._text) - num_open(self._text, opening)].rstrip()
            self._text = self._text[len(content) :]
        return [Content(content)] if content else []

    def _read_header(self) -> list[Piece]:
        found = self._header()
        if found is not None:
            self._form, name, end = found
            self._text, self._opened = self._text[end:], ""
            self._object = _ObjectEnd()
            self._has_called = True
            self._read = self._read_arguments
            return [CallBegins(name)]
        if self._may_be_header() and not self._has_ended:
            return []
        opened, self._opened = self._opened, ""
        self._read = self._read_content
        return [Content(opened)] if opened else []

    def _read_arguments(self) -> list[Piece]:
        end, is_whole = self._object.find(self._text)
        arguments, self._text = self._text[:end], self._text[end:]
        if is_whole or self._has_ended:
            self._read = self._read_tail
        return [CallArguments(arguments)] if arguments else []

    def _read_tail(self) -> list[Piece]:
        found = self._form.tail.match(self._text, 0, _MAX_HEADER)
        if found is not None:
            self._text = self._text[found.end() :]
            follows = found.groupdict().get("more") is not None
            self._read = self._read_header if follows else self._read_content
        elif self._has_ended or len(self._text) > _MAX_HEADER:
            self._text = self._text.lstrip("]} \n\r\t")
            self._read = self._read_content
        return []

    # ---- what they ask ----

    def _header(self) -> tuple[Form, str, int] | None:
        for form in self._format.forms:
            found = form.header.match(self._text, 0, _MAX_HEADER)
            if found is not None and found["name"] in self._names:
                return form, found["name"], found.end()
        return None

    def _may_be_header(self) -> bool:
        """Whether more text may make a call of it; where none was opened, a brace has to come."""
        may_begin = bool(self._opened) or self._text.lstrip()[:1] in ("", "{")
        return may_begin and len(self._text) <= _MAX_HEADER


class _ObjectEnd:
    """Finds the brace that ends a JSON object whose text comes in parts."""

    def __init__(self) -> None:
        self._depth, self._is_string, self._is_escaped = 0, False, False

    def find(self, text: str) -> tuple[int, bool]:
        """How much of the text is the object's, and whether it ends there."""
        for place, character in enumerate(text):
            if self._is_escaped:
                self._is_escaped = False
            elif self._is_string:
                self._is_escaped = character == "\\"
                self._is_string = character != '"'
            elif character == "<":  # of no JSON: a marker that comes too early
                return place, True
            elif character in '"{}[]':
                self._is_string = character == '"'
                self._depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(character, 0)
                if self._depth == 0 and not self._is_string:
                    return place + 1, True
        return len(text), False
