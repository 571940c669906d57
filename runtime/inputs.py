"""Checks prompts where they come in: what passes here cannot fail later."""

from array import array
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from ..errors import InputError, shown
from .edits import ModelBounds
from .frame import I32
from .tokenizer import Tokenizer

_KNOWN_KEYS = {"prompt", "prompt_token_ids"}


class Prompt(msgspec.Struct, frozen=True):
    """A text, or token ids, or both: then the ids count and the text is what it was."""

    text: str | None
    token_ids: Any  # as the caller gave them, or None


class TokenizedPrompt(msgspec.Struct, frozen=True):
    """A prompt that fits the model."""

    text: str | None
    token_ids: I32


def list_prompts(prompts: Any) -> list[Prompt]:
    """One prompt or a list of them: a text, token ids, a dict of either, or a checked prompt."""
    is_one = isinstance(prompts, (str, Mapping, TokenizedPrompt)) or _is_token_ids(prompts)
    if not is_one and not isinstance(prompts, (list, tuple)):
        raise InputError(
            f"prompts={shown(prompts)} is not a text, a list of texts, or "
            '{"prompt_token_ids": [...]}'
        )
    return [_prompt(entry) for entry in ([prompts] if is_one else prompts)]


def _is_token_ids(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and not isinstance(value[0], (str, Mapping, TokenizedPrompt, list, tuple))
    )


def _prompt(entry: Any) -> Prompt:
    if isinstance(entry, str):
        return Prompt(entry, None)
    if isinstance(entry, TokenizedPrompt):
        return Prompt(entry.text, entry.token_ids)
    if isinstance(entry, (list, tuple)):
        return Prompt(None, entry)
    if not isinstance(entry, Mapping):
        raise InputError(f"prompt {shown(entry)} is not a text, a list of token ids or a dict")
    unknown = [key for key in entry if key not in _KNOWN_KEYS and entry[key] is not None]
    if unknown:
        raise InputError(
            f"prompt has {shown(unknown[0])}, which is not supported; "
            f"known are {', '.join(sorted(_KNOWN_KEYS))}"
        )
    text, token_ids = entry.get("prompt"), entry.get("prompt_token_ids")
    if token_ids is None and not isinstance(text, str):
        raise InputError(f"prompt {shown(dict(entry))} has neither a text nor prompt_token_ids")
    return Prompt(text, token_ids)


class PromptChecker:
    """Tokenizes prompts and holds them to the model's bounds."""

    def __init__(self, tokenizer: Tokenizer | None, model: ModelBounds) -> None:
        self._tokenizer, self._model = tokenizer, model

    def check(
        self, prompt: Prompt, add_special_tokens: bool = True, max_tokens: int | None = None
    ) -> TokenizedPrompt:
        """Raises InputError, naming the value and the bound, for what the model cannot take.

        With `max_tokens` only so many tokens at the prompt's end are kept.
        """
        token_ids = self._token_ids(prompt, add_special_tokens)
        if max_tokens is not None:
            token_ids = token_ids[-max_tokens:]
        if len(token_ids) == 0:
            raise InputError("the prompt is empty; give at least one token")
        if len(token_ids) >= self._model.max_model_len:
            raise InputError(
                f"the prompt has {len(token_ids)} tokens, which leaves no room for an answer in "
                f"{self._model.room}; shorten it{self._model.or_more_room}"
            )
        if token_ids.min() < 0 or token_ids.max() >= self._model.vocab_size:
            is_outside = (token_ids < 0) | (token_ids >= self._model.vocab_size)
            first = int(is_outside.argmax())
            raise InputError(
                f"prompt_token_ids[{first}]={token_ids[first]} is not in the "
                f"vocabulary; ids go from 0 to {self._model.vocab_size - 1}"
            )
        return TokenizedPrompt(prompt.text, token_ids.astype(np.int32))

    def _token_ids(self, prompt: Prompt, add_special_tokens: bool) -> Any:
        if prompt.token_ids is not None:
            return _integers(prompt.token_ids)
        assert prompt.text is not None, "a prompt has a text or token ids"
        if self._tokenizer is None:
            raise InputError(
                "a prompt of text needs a tokenizer; give prompt_token_ids, or load the model "
                "without skip_tokenizer_init"
            )
        most = self._model.max_model_len * self._tokenizer.longest_token_characters
        if len(prompt.text) > most:
            raise InputError(
                f"the prompt has {len(prompt.text)} characters, more than the {most} that fit in "
                f"{self._model.room}; shorten it{self._model.or_more_room}"
            )
        return np.array(self._tokenizer.encode(prompt.text, add_special_tokens), np.int64)


def _integers(token_ids: Any) -> Any:
    if isinstance(token_ids, (list, tuple)):
        with suppress(TypeError, OverflowError):  # what it refuses may be right, or is named below
            return np.array(array("I", token_ids))  # in a third of the time that numpy takes
    try:
        numbers = np.asarray(token_ids if len(token_ids) else np.zeros(0, np.int64))
    except (ValueError, TypeError):
        numbers = np.zeros(0)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise InputError(f"prompt_token_ids={shown(token_ids)} is not a flat list of whole numbers")
    return numbers
