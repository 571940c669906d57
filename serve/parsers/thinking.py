"""Tells what a model thinks in <think> tags from its answer, as the text comes.

The tags may be the model's, or the chat template has opened the first one already. Thoughts that
are never closed are no answer.
"""

from .base import Content, Piece, Reasoning
from .stepwise import StepwiseParser, num_open

OPENING, CLOSING = "<think>", "</think>"


class ThinkingParser(StepwiseParser):
    """The parser of one answer; only its beginning may be thoughts."""

    def __init__(self, is_open: bool) -> None:
        """`is_open`: the prompt ends within thoughts."""
        super().__init__()
        self._read = self._read_thoughts if is_open else self._read_beginning
        self._is_first = True  # of the thoughts, or of the answer behind them

    def _read_beginning(self) -> list[Piece]:
        """Spaces before the tag belong to neither."""
        begun = self._text.lstrip()
        if begun.startswith(OPENING):
            self._text = begun[len(OPENING) :]
            self._read = self._read_thoughts
        elif self._has_ended or not OPENING.startswith(begun):
            self._is_first = False
            self._read = self._read_answer
        return []

    def _read_thoughts(self) -> list[Piece]:
        self._drop_first_spaces()
        place = self._text.find(CLOSING)
        if place >= 0:
            thoughts, self._text = self._text[:place].rstrip(), self._text[place + len(CLOSING) :]
            self._is_first = True
            self._read = self._read_answer
        elif self._has_ended:
            thoughts, self._text = self._text.rstrip(), ""
        else:
            thoughts = self._text[: len(self._text) - num_open(self._text, CLOSING)].rstrip()
            self._text = self._text[len(thoughts) :]
        return [Reasoning(thoughts)] if thoughts else []

    def _read_answer(self) -> list[Piece]:
        self._drop_first_spaces()
        answer, self._text = self._text, ""
        return [Content(answer)] if answer else []

    def _drop_first_spaces(self) -> None:
        if self._is_first:
            self._text = self._text.lstrip()
            self._is_first = not self._text
