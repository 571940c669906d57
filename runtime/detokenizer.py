"""Turns the tokens of one sequence into text as they come, and finds stop strings in it.

A token may be part of a character, and its text may depend on the token before it. So the tokens
since the last text came out are decoded together with those before them, and the end is held while
it may be half a character. Once flushed, the text is what the tokenizer gives for the same tokens
decoded at once behind the prompt.
"""

from collections.abc import Sequence
from typing import Protocol

from .stop_strings import StopFinder

CONTEXT_TOKENS = 6  # of the prompt: enough to see that a text goes on, not starts
_MAX_HELD_TOKENS = 16  # of more than these only the last bytes may yet become a character
_MAX_OPEN_BYTES = 3
_KEPT_TOKENS = 8
_REPLACEMENT = "\ufffd"


class Decoder(Protocol):
    """What a detokenizer wants of a tokenizer."""

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of token ids."""


class Detokenizer:
    """The text of one output; `text` never goes on after a stop string."""

    def __init__(
        self,
        tokenizer: Decoder,
        prompt_token_ids: Sequence[int],
        stop: Sequence[str] = (),
        skip_special_tokens: bool = True,
        include_stop: bool = False,
    ) -> None:
        self.text = ""
        self.stop_string: str | None = None  # the one that was found
        self._tokenizer, self._skip_special = tokenizer, skip_special_tokens
        self._finder = StopFinder(stop) if stop else None
        self._include_stop = include_stop
        self._window = list(prompt_token_ids[-CONTEXT_TOKENS:])
        self._num_context = len(self._window)  # tokens of the window that are there for the others
        before = self._decode(self._window)
        self._num_out = len(before.rstrip(_REPLACEMENT))  # characters of its text not to come
        self._is_within = before.endswith(_REPLACEMENT)  # the context ends in half a character

    def push(self, token_ids: Sequence[int], flush: bool = False, may_stop: bool = True) -> None:
        """Adds tokens; with `flush` no more will come. After a stop string nothing is added.

        Without `may_stop` no stop string is found that ends in what these add.
        """
        if self.stop_string is not None:
            return
        self._window += token_ids
        text = self._decode(self._window)
        is_long = len(self._window) - self._num_context > _MAX_HELD_TOKENS
        num_open = 0 if flush else len(text) - len(text.rstrip(_REPLACEMENT))
        num_open = min(num_open, _MAX_OPEN_BYTES) if is_long else num_open
        end = max(self._num_out, len(text) - num_open)
        self._append(text[self._num_out : end], may_stop)
        self._num_out = end
        if num_open == 0:
            self._drop_context()
        elif is_long:
            self._drop_settled(text)

    def visible_text(self) -> str:
        """The text without an end that may turn out to be the start of a stop string."""
        if self._finder is None or self._include_stop or self.stop_string is not None:
            return self.text
        return self.text[: len(self.text) - self._finder.num_open]

    def _drop_context(self) -> None:
        """The tokens whose text has come out are the context of the next ones."""
        if not self._is_within:
            self._window = self._window[self._num_context :] or self._window
            self._num_out = len(self._decode(self._window))
        self._num_context, self._is_within = len(self._window), False

    def _drop_settled(self, text: str) -> None:
        """Bytes that have become no character leave the window, if no character is cut by it."""
        before = self._decode(self._window[:-_KEPT_TOKENS])
        after = self._decode(self._window[-_KEPT_TOKENS:])
        if before + after == text and len(before) <= self._num_out:
            self._window, self._num_context = self._window[-_KEPT_TOKENS:], 0
            self._num_out -= len(before)
            self._is_within = False

    def _decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, self._skip_special)

    def _append(self, new_text: str, may_stop: bool) -> None:
        num_old = len(self.text)
        self.text += new_text
        found = self._finder.feed(new_text, may_stop) if self._finder is not None else None
        if found is not None:
            end, self.stop_string = found
            removed = 0 if self._include_stop else len(self.stop_string)
            self.text = self.text[: num_old + end - removed]
