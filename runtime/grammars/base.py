"""What the engine wants of a grammar: the tokens that may come next, and to be told which came."""

from typing import Protocol

from ...errors import TapeoutError
from ..frame import I32


class GrammarError(TapeoutError):
    """A grammar cannot be followed any further: by this token, or within its limits."""


class GrammarState(Protocol):
    """Where one output stands in its grammar."""

    @property
    def is_complete(self) -> bool:
        """Whether the output may end here."""

    def allowed(self) -> I32:
        """The tokens that may come next, bit by bit as in `Sampling.mask`; the caller's own.

        The tokens that end a sequence are among them where the output may end; behind such a token
        there is none. Raises GrammarError.
        """

    def advance(self, token_id: int) -> None:
        """Takes the token that came. Raises GrammarError if it is not allowed."""


class Grammar(Protocol):
    """A compiled grammar; any number of outputs may follow it."""

    @property
    def is_spent(self) -> bool:
        """Whether what its states have built together has reached a limit, or another fault has
        come up: compiled anew it may be of use again."""

    def start(self) -> GrammarState:
        """The state of an output that has no token yet."""
