"""Grammars by llguidance: an Earley parser over a lexer, followed token by token."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError, shown
from ..frame import I32
from .base import GrammarError
from .deep_stack import on_deep_stack

if TYPE_CHECKING:
    from llguidance import LLMatcher


_COMPILE_S = 5.0


def library() -> ModuleType:
    """llguidance. Raises InputError if it is not installed."""
    try:
        import llguidance
    except ImportError:
        raise InputError(
            "structured_outputs needs llguidance; install tapeout[structured]"
        ) from None
    return llguidance


class Guidance:
    """Compiles grammars for one tokenizer, given as the text of its tokenizer.json.

    Raises InputError if llguidance is not installed or cannot read the tokenizer, or if no token
    ends a sequence.
    """

    def __init__(self, tokenizer_json: str, vocab_size: int, eos_token_ids: Sequence[int]) -> None:
        llguidance = library()
        self._library, self._vocab_size = llguidance, vocab_size
        self._eos_token_ids = frozenset(eos_token_ids)
        if not eos_token_ids:
            raise InputError(
                "structured_outputs needs a token that ends the sequence, and this model has none"
            )
        try:
            self._tokenizer = llguidance.LLTokenizer(
                tokenizer_json, vocab_size, list(eos_token_ids)
            )
        except ValueError as error:
            raise InputError(
                f"structured_outputs cannot be used with this tokenizer: {error}"
            ) from None
        # What compiling and a single mask may cost: 0.1 s and some milliseconds at the most.
        self._limits = llguidance.LLParserLimits(
            initial_lexer_fuel=1_000_000,
            step_lexer_fuel=200_000,
            step_max_items=8_000,
            max_items_in_row=4_000,
            max_lexer_states=50_000,
            max_grammar_size=200_000,
            verbose_errors=False,
        )

    def compile(self, source: str) -> GuidanceGrammar:
        """The grammar of a text in one of llguidance's notations. Raises InputError."""
        try:
            return on_deep_stack(lambda: self._compile(source), _COMPILE_S)
        except TimeoutError:
            raise InputError(
                f"structured_outputs takes longer than {_COMPILE_S:g} s to compile; make it simpler"
            ) from None

    def _compile(self, source: str) -> GuidanceGrammar:
        matcher = self._library.LLMatcher(self._tokenizer, source, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise InputError(f"structured_outputs cannot be compiled: {_reason(matcher)}")
        grammar = GuidanceGrammar(matcher, self._vocab_size, self._eos_token_ids)
        try:
            grammar.start().allowed()
        except GrammarError as error:
            raise InputError(f"structured_outputs cannot be followed: {error}") from None
        return grammar


_WORDS = {  # how the library's reasons begin, and what to say before them or instead
    "regex parse error": "pattern: {}",
    "lookarounds not": "pattern: {}",
    "Unable to determine if regex": "pattern: {}",
    "Pointer ": "$ref: {}",
    "circular references": "$ref: {}",
    "oneOf ": "oneOf: a value could match two of its schemas; use anyOf, or make them differ by "
    "type or by a constant of a required property",
    "NoExtensionBias": "Unsatisfiable schema: no text matches it",
}


def _reason(matcher: LLMatcher) -> str:
    """Why a matcher is of no more use, with the keyword that it is about."""
    reason = shown(" ".join(matcher.get_error().replace("<non-verbose/>", "").split()))
    for beginning, words in _WORDS.items():
        if reason.startswith(beginning):
            return words.format(reason)
    return reason


class GuidanceGrammar:
    """A compiled grammar, never advanced itself."""

    def __init__(self, matcher: LLMatcher, vocab_size: int, eos_token_ids: frozenset[int]) -> None:
        self._matcher = matcher
        self.num_words, self.eos_token_ids = -(-vocab_size // 32), eos_token_ids
        self.is_spent = False

    def start(self) -> GuidanceState:
        """The state of an output that has no token yet."""
        return GuidanceState(self._matcher.deep_copy(), self)


class GuidanceState:
    """One output's matcher."""

    def __init__(self, matcher: LLMatcher, grammar: GuidanceGrammar) -> None:
        self._matcher, self._grammar, self._has_ended = matcher, grammar, False

    @property
    def is_complete(self) -> bool:
        """Whether the output may end here."""
        return self._has_ended or self._matcher.is_accepting()

    def allowed(self) -> I32:
        """The tokens that may come next, `[ceil(V / 32)]`. Raises GrammarError."""
        if self._has_ended:
            return np.zeros(self._grammar.num_words, np.int32)
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.int32)
        self._check()
        return mask[: self._grammar.num_words].copy()

    def advance(self, token_id: int) -> None:
        """Takes the token that came. Raises GrammarError if it is not allowed."""
        self._has_ended = token_id in self._grammar.eos_token_ids
        self._matcher.consume_token(token_id)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            self._grammar.is_spent = True
            raise GrammarError(_reason(self._matcher))
