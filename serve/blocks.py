"""Groups the pieces of an answer into blocks: one of thoughts, one of text, one for each call."""

from typing import Literal, NamedTuple
from uuid import uuid4

import msgspec

from .parsers.base import CallArguments, CallBegins, Content, Piece, Reasoning

Kind = Literal["thoughts", "text", "call"]


class Block(msgspec.Struct):
    """A part of the answer, as far as it has come."""

    kind: Kind
    name: str = ""  # of the function that is called
    text: str = ""  # of a call, its arguments
    id: str = msgspec.field(default_factory=lambda: uuid4().hex[:24])


class BlockEvent(NamedTuple):
    """A block begins, gets `text` more, or ends."""

    what: Literal["begin", "more", "end"]
    place: int  # of the block among all
    block: Block
    text: str = ""


class Blocks:
    """The blocks of one answer; a new one begins where the kind changes, and with every call."""

    def __init__(self) -> None:
        self.all: list[Block] = []
        self._is_open = False

    def add(self, pieces: list[Piece]) -> list[BlockEvent]:
        """What happens with these."""
        return [event for piece in pieces for event in self._events(piece)]

    def end(self) -> list[BlockEvent]:
        """The answer is whole."""
        if not self._is_open:
            return []
        self._is_open = False
        return [BlockEvent("end", len(self.all) - 1, self.all[-1])]

    def _events(self, piece: Piece) -> list[BlockEvent]:
        match piece:
            case CallBegins(name):
                return self._begin("call", name)
            case CallArguments(text):
                return self._more(text)
            case Reasoning(text):
                return [*self._into("thoughts"), *self._more(text)]
            case Content(text):
                return [*self._into("text"), *self._more(text)]

    def _into(self, kind: Kind) -> list[BlockEvent]:
        is_same = self._is_open and self.all[-1].kind == kind
        return [] if is_same else self._begin(kind)

    def _begin(self, kind: Kind, name: str = "") -> list[BlockEvent]:
        events = self.end()
        self.all.append(Block(kind, name))
        self._is_open = True
        return [*events, BlockEvent("begin", len(self.all) - 1, self.all[-1])]

    def _more(self, text: str) -> list[BlockEvent]:
        block = self.all[-1]
        block.text += text
        return [BlockEvent("more", len(self.all) - 1, block, text)]
