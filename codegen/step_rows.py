"""Whose rows regions have: all tokens', T, or those of logits, R.

A kernel is told how many rows there are, so that one does for regions that differ in that alone.
"""

from __future__ import annotations

from dataclasses import replace

from ..artifact.region_forms import of_tokens
from ..artifact.schema import GridTerm, Rows
from ..ir.graph import Function, Node
from ..ir.printer import print_function
from ..ir.types import Dim

TOKENS: Rows = "T"
LOGITS: Rows = "R"

_TOKEN_ROWS, _LOGIT_ROWS = (Dim.of(TOKENS),), (Dim.of(LOGITS),)


class KnownRegions:
    """The regions that a program has called."""

    def __init__(self) -> None:
        self._by_text: dict[str, Function] = {}

    def alike(self, region: Function) -> tuple[Function, Rows]:
        """What to emit for a region, and which rows of a step are its T in this call.

        A region of R that was called before as one of T is that; any other is itself.
        """
        text = print_function(replace(region, name=""))
        tokens = of_tokens(text)
        if tokens != text and tokens in self._by_text:
            return self._by_text[tokens], LOGITS
        self._by_text.setdefault(text, region)
        return region, TOKENS


def params_taken(region: Function) -> list[int]:
    """Of each result the number of the parameter whose rows of logits it has; empty for a region
    that does more than take these. In steps that want logits of all tokens, in order, the results
    are these parameters."""
    if not all(_takes_rows(node, region) for node in region.nodes):
        return []
    makers = region.producers()
    return [region.params.index(makers[result].operands[0]) for result in region.results]


def _takes_rows(node: Node, region: Function) -> bool:
    """Whether it takes rows of logits of a parameter; an embedding takes T rows, not of tokens."""
    rows = [value.shape[:1] for value in node.operands]
    is_of_params = set(node.operands) <= set(region.params)
    return node.op == "gather_rows" and is_of_params and rows == [_TOKEN_ROWS, _LOGIT_ROWS]


def term_of(term: GridTerm, rows: Rows) -> GridTerm:
    """A term of a kernel's grid in a launch whose T is ``rows``."""
    extent = {rows if symbol == TOKENS else symbol: n for symbol, n in term.extent.items()}
    return GridTerm(extent, term.divisor, term.factor)
