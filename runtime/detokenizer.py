"""Turns the tokens of one sequence into text as they come, and finds stop strings in it.

A token may be part of a character, and its text may depend on the token before it. So the tokens
since the last text came out are decoded with and without the new ones, and what these add is held
while it ends in half a character. Once flushed, the text is what the tokenizer gives for the same
tokens decoded at once behind the prompt.
"""

from collections.abc import Sequence

from .tokenizer import Tokenizer

_CONTEXT_TOKENS = 6  # of the prompt: enough to see that a text goes on, not starts
_MAX_HELD_TOKENS = 16  # longer than any character: these bytes will never become one
_REPLACEMENT = "\ufffd"


class Detokenizer:
    """The text of one output; `text` never goes on after a stop string."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt_token_ids: Sequence[int],
        stop: Sequence[str] = (),
        skip_special_tokens: bool = True,
        include_stop: bool = False,
    ) -> None:
        self.text = ""
        self.stop_string: str | None = None  # the one that was found
        self._tokenizer, self._skip_special = tokenizer, skip_special_tokens
        self._stop, self._include_stop = tuple(stop), include_stop
        self._window = list(prompt_token_ids[-_CONTEXT_TOKENS:])
        self._num_read = len(self._window)  # tokens of the window whose text is out

    def push(self, token_ids: Sequence[int], flush: bool = False) -> None:
        """Adds tokens; with `flush` no more will come. After a stop string nothing is added."""
        if self.stop_string is not None:
            return
        self._window += token_ids
        after = self._decode(self._window)
        is_long = len(self._window) - self._num_read > _MAX_HELD_TOKENS
        if after.endswith(_REPLACEMENT) and not flush and not is_long:
            return
        before = self._decode(self._window[: self._num_read])
        self._append(after[len(before.rstrip(_REPLACEMENT)) :])
        if not before.endswith(_REPLACEMENT):  # else the new tokens start within a character
            self._window = self._window[self._num_read :] or self._window
        self._num_read = len(self._window)

    def visible_text(self) -> str:
        """The text without an end that may turn out to be the start of a stop string."""
        if self.stop_string is not None or not self._stop:
            return self.text
        longest = min(max(map(len, self._stop)) - 1, len(self.text))
        for count in range(longest, 0, -1):
            if self.text.endswith(tuple(stop[:count] for stop in self._stop if len(stop) > count)):
                return self.text[:-count]
        return self.text

    def _decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, self._skip_special)

    def _append(self, new_text: str) -> None:
        num_old = len(self.text)
        self.text += new_text
        found = [
            (start, stop)
            for stop in self._stop
            if (start := self.text.find(stop, max(0, num_old - len(stop) + 1))) >= 0
        ]
        if found:
            start, self.stop_string = min(found, key=lambda pair: pair[0])
            end = start + (len(self.stop_string) if self._include_stop else 0)
            self.text = self.text[:end]
