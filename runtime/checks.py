"""Checks of single values where they come in: an error names the field, what it was and the bound.

`True` is no number here: a flag given for a count is a mistake.
"""

import math
from collections.abc import Collection
from typing import Any

from ..errors import InputError, shown

MAX_TOKEN_ID = 2**31 - 1


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Raises InputError for what is not a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name}={told(value)} is not allowed; give a whole number from {low} to {high}"
        )


def told(value: Any) -> str:
    """A text in quotes, so that it does not look like the number that is wanted."""
    return shown(repr(value) if isinstance(value, str) else value)


def check_number(name: str, value: Any, low: float, high: float, is_open: bool = False) -> None:
    """Raises InputError for what is not a finite number in the bounds, or is `low` if open."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_inside = is_number and low <= value <= high and math.isfinite(value)
    if not is_inside or (is_open and value == low):
        first = f"above {low:g}" if is_open else f"from {low:g}"
        raise InputError(f"{name}={told(value)} is not allowed; give a number {first} to {high:g}")


def check_flag(name: str, value: Any) -> None:
    """Raises InputError for what is neither True nor False."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={shown(value)} is not allowed; give True or False")


def is_text(value: Any) -> bool:
    """Whether a value is a string that is valid Unicode: half a surrogate pair is none."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_texts(name: str, texts: Any, max_count: int, max_characters: int) -> None:
    """Raises InputError for what is not a list of non-empty texts within both bounds."""
    if not isinstance(texts, (list, tuple)):
        raise InputError(f"{name}={shown(texts)} is not a string or a list of strings")
    if len(texts) > max_count:
        raise InputError(f"{name} has {len(texts)} strings; give at most {max_count}")
    for text in texts:
        if not is_text(text) or not text:
            raise InputError(f"{name}={shown(text)} is not a string of at least one character")
    num_characters = sum(map(len, texts))
    if num_characters > max_characters:
        raise InputError(
            f"{name} has {num_characters} characters in all; give at most {max_characters}"
        )


def check_token_ids(name: str, token_ids: Any, max_count: int) -> None:
    """Raises InputError for what is not a list of whole numbers that may be token ids."""
    if not isinstance(token_ids, (list, tuple)):
        raise InputError(f"{name}={shown(token_ids)} is not a list of token ids")
    if len(token_ids) > max_count:
        raise InputError(f"{name} has {len(token_ids)} ids; give at most {max_count}")
    are_whole = set(map(type, token_ids)) <= {int}
    if are_whole and (not token_ids or 0 <= min(token_ids) <= max(token_ids) <= MAX_TOKEN_ID):
        return
    for token_id in token_ids:
        check_whole(name, token_id, 0, MAX_TOKEN_ID)


def check_in_vocabulary(name: str, token_ids: Collection[int], vocab_size: int) -> None:
    """Raises InputError for an id, 0 or above, that the model does not have."""
    if token_ids and max(token_ids) >= vocab_size:
        raise InputError(
            f"{name}={max(token_ids)} is not in the vocabulary; ids go from 0 to {vocab_size - 1}"
        )
