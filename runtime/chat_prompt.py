"""A chat as a prompt in which the special tokens are those of its template alone.

A message may spell such a token, by accident or so that what follows looks like another's turn: it
is then encoded as any other text is.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from .inputs import Prompt
from .tokenizer import Tokenizer

_PRIVATE = range(0xF0000, 0xFFFFE)  # characters of Unicode that mean nothing by themselves


def chat_prompt(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], **options: Any
) -> Prompt:
    """The prompt; with token ids of its own only where a message spells a special token.

    Raises InputError if the template refuses the chat, or there is none.
    """
    try:
        spelled = [text for text in tokenizer.special_texts if _holds(messages, text)]
    except RecursionError:  # which the template's own check refuses
        spelled = []
    if not spelled:
        return Prompt(tokenizer.render_chat(messages, **options), None)
    marks = {text: chr(code) for text, code in zip(spelled, _PRIVATE, strict=False)}
    if any(_holds(messages, mark) for mark in marks.values()):
        raise InputError(
            f"messages spell the special token {spelled[0]} beside characters for private use; "
            "leave out either"
        )
    rendered = tokenizer.render_chat(_replaced(messages, marks), **options)
    texts = {mark: text for text, mark in marks.items()}
    pieces = re.split(f"([{''.join(texts)}])", rendered)
    token_ids = [
        token_id
        for piece in pieces
        if piece
        for token_id in (
            tokenizer.encode_as_text(texts[piece])
            if piece in texts
            else tokenizer.encode(piece, add_special_tokens=False)
        )
    ]
    return Prompt("".join(texts.get(piece, piece) for piece in pieces), token_ids)


def _holds(value: Any, text: str) -> bool:
    """Whether a text is anywhere in the values of plain data."""
    if isinstance(value, str):
        return text in value
    if isinstance(value, Mapping):
        return any(_holds(entry, text) for entry in value.values())
    return isinstance(value, (list, tuple)) and any(_holds(entry, text) for entry in value)


def _replaced(value: Any, marks: Mapping[str, str]) -> Any:
    """The same with marks in place of texts."""
    if isinstance(value, str):
        for text, mark in marks.items():
            value = value.replace(text, mark)
        return value
    if isinstance(value, Mapping):
        return {name: _replaced(entry, marks) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(entry, marks) for entry in value]
    return value
