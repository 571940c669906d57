"""When the texts of two regions are of one form: regions of a form may share a kernel."""

import re

_OF_LOGITS = re.compile(r"(?<=[\[<+*])R\b")


def form_of(text: str) -> str:
    """A region's text without its names, and without whose rows it has."""
    numbers: dict[str, str] = {}
    text = re.sub(r"%[\w.]+", lambda m: numbers.setdefault(m[0], f"%{len(numbers)}"), text)
    return re.sub(r'@\w+|group = "\w+"', "", _OF_LOGITS.sub("T", text)).strip()
