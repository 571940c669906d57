"""What a format of tool calls is, and the pieces that an answer is cut into."""

from collections.abc import Callable, Collection, Sequence
from re import Pattern
from typing import NamedTuple, Protocol


class Reasoning(NamedTuple):
    """More of what the model thinks before it answers."""

    text: str


class Content(NamedTuple):
    """More of the answer's text."""

    text: str


class CallBegins(NamedTuple):
    """A call of this function; its arguments follow."""

    name: str


class CallArguments(NamedTuple):
    """More of the text of the last call's arguments."""

    text: str


Piece = Reasoning | Content | CallBegins | CallArguments


class Form(NamedTuple):
    """A way to write one call."""

    header: Pattern[str]  # up to the brace of the arguments; its group `name` is the function's
    tail: Pattern[str]  # behind the arguments; with a group `more` another call follows at once


class Wording(NamedTuple):
    """How calls are written where a grammar makes the model write them."""

    first: str
    call: str  # with the function's name in place of {name}; the arguments follow
    call_end: str
    between: str
    last: str


class CallFormat(NamedTuple):
    """How a family of models writes calls."""

    opening: str  # what comes before calls
    forms: Sequence[Form]
    wording: Wording | None  # None where no grammar can make the model call
    marks: Sequence[str]  # in a chat template, any of which tells the format
    begins_bare: bool = False  # the answer itself may begin with a call, without the opening
    is_special: bool = False  # the opening is a special token, which texts leave out by default
    own_parser: "Callable[[Collection[str]], Parser] | None" = None
    """Of a format that marks thoughts and text too, so that answers without tools need it."""


class Parser(Protocol):
    """Follows one answer; its pieces, joined, do not depend on how the text was cut."""

    def feed(self, text: str) -> list[Piece]:
        """What is certain with more of the text."""

    def finish(self) -> list[Piece]:
        """What is left when the text has ended."""
