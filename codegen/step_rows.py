"""Regions that differ in whose rows they have alone: all tokens', T, or those of logits, R.

A kernel is told how many rows there are, so that one does for both.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..artifact.schema import GridTerm, Rows
from ..ir.graph import Function
from ..ir.printer import print_function

TOKENS: Rows = "T"
LOGITS: Rows = "R"

_OF_TOKENS, _OF_LOGITS = (re.compile(rf"(?<=[\[<+*]){symbol}\b") for symbol in (TOKENS, LOGITS))


class KnownRegions:
    """The regions that a program has called."""

    def __init__(self) -> None:
        self._by_text: dict[str, Function] = {}

    def alike(self, region: Function) -> tuple[Function, Rows]:
        """What to emit for a region, and which rows of a step are its T in this call.

        A region of R that was called before as one of T is that; any other is itself.
        """
        text = print_function(replace(region, name=""))
        if _OF_LOGITS.search(text) and not _OF_TOKENS.search(text):
            same = self._by_text.get(_OF_LOGITS.sub(TOKENS, text))
            if same is not None:
                return same, LOGITS
        self._by_text.setdefault(text, region)
        return region, TOKENS


def term_of(term: GridTerm, rows: Rows) -> GridTerm:
    """A term of a kernel's grid in a launch whose T is ``rows``."""
    extent = {rows if symbol == TOKENS else symbol: n for symbol, n in term.extent.items()}
    return GridTerm(extent, term.divisor, term.factor)
