"""When the texts of two regions are of one form: regions of a form may share a kernel."""

import re

_OF_TOKENS, _OF_LOGITS = (re.compile(rf"(?<=[\[<+*]){symbol}\b") for symbol in "TR")


def of_tokens(text: str) -> str:
    """A region's text with rows of tokens, T, in place of those of logits, R; one that has both
    is left as it is."""
    return text if _OF_TOKENS.search(text) else _OF_LOGITS.sub("T", text)


def form_of(text: str) -> str:
    """A region's text without its names, and without whose rows it has."""
    numbers: dict[str, str] = {}
    text = re.sub(r"%[\w.]+", lambda m: numbers.setdefault(m[0], f"%{len(numbers)}"), text)
    return re.sub(r'@\w+|group = "\w+"', "", of_tokens(text)).strip()
