"""How a command line takes the limits of a load: `Limits` says what is wrong, as for `LLM`.

So a text that is no number stays as it is.
"""

from contextlib import suppress


def count(text: str) -> int | str:
    """A whole number, if it is one."""
    with suppress(ValueError):
        return int(text)
    return text


def share(text: str) -> float | str:
    """A number, if it is one."""
    with suppress(ValueError):
        return float(text)
    return text
