"""What parsers of a text that comes in parts have in common."""

from collections.abc import Callable

from .base import Piece


class StepwiseParser:
    """Reads step by step: each takes what is certain from the text, and says which comes next."""

    def __init__(self) -> None:
        self._text = ""  # that is not told yet
        self._has_ended = False
        self._read: Callable[[], list[Piece]]

    def feed(self, text: str) -> list[Piece]:
        """What is certain with more of the text."""
        self._text += text
        return self._run()

    def finish(self) -> list[Piece]:
        """What is left when the text has ended."""
        self._has_ended = True
        return self._run()

    def _run(self) -> list[Piece]:
        pieces: list[Piece] = []
        while True:
            before = self._read, len(self._text)
            pieces += self._read()
            if before == (self._read, len(self._text)):
                return pieces


def num_open(text: str, marker: str) -> int:
    """Characters at the end of a text that may be the start of the marker."""
    most = min(len(text), len(marker) - 1)
    return next((n for n in range(most, 0, -1) if text.endswith(marker[:n])), 0)
