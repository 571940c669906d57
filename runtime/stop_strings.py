"""Finds stop strings in a text that comes in pieces, one character after the other."""

from collections.abc import Sequence


class StopFinder:
    """An Aho-Corasick automaton: time follows the text, not the number of stop strings.

    Its state is the longest end of the text that begins a stop string.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._next: list[dict[str, int]] = [{}]  # state, then character, to state
        self._fallback = [0]  # to the longest shorter end that begins a stop string
        self._found: list[int | None] = [None]  # which stop string ends here
        self._num_open = [0]  # characters at the end that may go on to a stop string
        self._stop = tuple(stop)
        self._state = 0
        for index, text in enumerate(self._stop):
            self._add(index, text)
        self._link()

    @property
    def num_open(self) -> int:
        """Characters at the end of the text that may be the start of a stop string."""
        return self._num_open[self._state]

    def feed(self, text: str, counts: bool = True) -> tuple[int, str] | None:
        """Takes the next piece of the text; gives the first stop string that ends in it.

        With where in the piece it ends; of two that end there, the one that was listed first.
        Nothing behind it is read. With `counts` False none is found that ends in this piece.
        """
        for index, character in enumerate(text):
            self._state = self._step(self._state, character)
            found = self._found[self._state]
            if found is not None and counts:
                return index + 1, self._stop[found]
        return None

    def _step(self, state: int, character: str) -> int:
        while state and character not in self._next[state]:
            state = self._fallback[state]
        return self._next[state].get(character, 0)

    def _add(self, index: int, text: str) -> None:
        state = 0
        for character in text:
            if character not in self._next[state]:
                self._next[state][character] = len(self._next)
                self._next.append({})
                self._fallback.append(0)
                self._found.append(None)
                self._num_open.append(0)
            state = self._next[state][character]
        if self._found[state] is None:
            self._found[state] = index

    def _link(self) -> None:
        """Sets fallbacks in the order of length, each from shorter ones."""
        layer, length = [0], 0
        while layer:
            for state in layer:
                shorter = self._fallback[state]
                self._num_open[state] = length if self._next[state] else self._num_open[shorter]
                ends = [i for i in (self._found[state], self._found[shorter]) if i is not None]
                self._found[state] = min(ends, default=None)
                for character, child in self._next[state].items():
                    self._fallback[child] = self._step(shorter, character) if state else 0
            layer = [child for state in layer for child in self._next[state].values()]
            length += 1
