"""Finds stop strings in a text that comes in pieces, one character after the other."""

from collections.abc import Sequence
from functools import lru_cache

_NUM_KEPT = 8  # automata, of up to some megabytes each


class StopFinder:
    """Follows one text; finders of the same stop strings share their automaton.

    Its state is the longest end of the text that begins a stop string.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._automaton = _automaton(tuple(stop))
        self._state = 0

    @property
    def num_open(self) -> int:
        """Characters at the end of the text that may be the start of a stop string."""
        return self._automaton.num_open[self._state]

    def feed(self, text: str, counts: bool = True) -> tuple[int, str] | None:
        """Takes the next piece of the text; gives the first stop string that ends in it.

        With where in the piece it ends; of two that end there, the one that was listed first.
        Nothing behind it is read. With `counts` False none is found that ends in this piece.
        """
        for index, character in enumerate(text):
            self._state = self._automaton.step(self._state, character)
            found = self._automaton.found[self._state]
            if found is not None and counts:
                return index + 1, self._automaton.stop[found]
        return None


class _Automaton:
    """Aho and Corasick's: time follows the text, not the number of stop strings."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self.stop = stop
        self.found: list[int | None] = [None]  # by state, which stop string ends here
        self.num_open = [0]  # by state, characters at the end that may go on to a stop string
        self._next: list[dict[str, int]] = [{}]  # state, then character, to state
        self._fallback = [0]  # to the longest shorter end that begins a stop string
        for index, text in enumerate(stop):
            self._add(index, text)
        self._link()

    def step(self, state: int, character: str) -> int:
        """The state behind one more character."""
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
                self.found.append(None)
                self.num_open.append(0)
            state = self._next[state][character]
        if self.found[state] is None:
            self.found[state] = index

    def _link(self) -> None:
        """Sets fallbacks in the order of length, each from shorter ones."""
        layer, length = [0], 0
        while layer:
            for state in layer:
                shorter = self._fallback[state]
                self.num_open[state] = length if self._next[state] else self.num_open[shorter]
                ends = [i for i in (self.found[state], self.found[shorter]) if i is not None]
                self.found[state] = min(ends, default=None)
                for character, child in self._next[state].items():
                    self._fallback[child] = self.step(shorter, character) if state else 0
            layer = [child for state in layer for child in self._next[state].values()]
            length += 1


@lru_cache(_NUM_KEPT)
def _automaton(stop: tuple[str, ...]) -> _Automaton:
    return _Automaton(stop)
