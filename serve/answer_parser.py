"""Cuts one answer into thoughts, text and tool calls, as it comes."""

from collections.abc import Iterable

from .parsers.base import CallArguments, CallBegins, Content, Parser, Piece


class AnswerParser:
    """Thoughts are looked for first; what is none of them may hold calls."""

    def __init__(
        self, thinking: Parser | None, calls: Parser | None, max_calls: int | None
    ) -> None:
        self._thinking, self._calls, self._max_calls = thinking, calls, max_calls
        self.num_calls = 0

    def feed(self, text: str, is_last: bool) -> list[Piece]:
        """What is certain with more of the text, and all the rest with the last of it."""
        pieces: Iterable[Piece] = [Content(text)] if text else []
        if self._thinking is not None:
            pieces = self._thinking.feed(text) + (self._thinking.finish() if is_last else [])
        told = [piece for one in pieces for piece in self._with_calls(one)]
        if is_last and self._calls is not None:
            told += self._calls.finish()
        return [piece for piece in told if self._is_allowed(piece)]

    def _with_calls(self, piece: Piece) -> list[Piece]:
        if isinstance(piece, Content) and self._calls is not None:
            return self._calls.feed(piece.text)
        return [piece]

    def _is_allowed(self, piece: Piece) -> bool:
        """Calls beyond those that are wanted are left out."""
        if isinstance(piece, CallBegins):
            self.num_calls += 1
        is_call = isinstance(piece, CallBegins | CallArguments)
        return not is_call or self._max_calls is None or self.num_calls <= self._max_calls
