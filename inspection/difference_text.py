"""What differs between two artifacts, as lines for a terminal."""

from collections.abc import Iterator
from difflib import unified_diff

from .difference import Changed, Difference, Value
from .text import wrapped

_MAX_LINE = 98


def text_of_difference(difference: Difference) -> str:
    """What `tapeout diff` prints; nothing where nothing differs."""
    return "\n".join(_lines(difference))


def _lines(difference: Difference) -> Iterator[str]:
    if difference.parts:
        yield f"a: {difference.a}"
        yield f"b: {difference.b}"
    for part, changes in difference.parts.items():
        yield ""
        yield part
        for change in changes:
            lines = [f"  {line}" for line in _change_lines(part, change)]
            yield from lines if part == "IR" else wrapped(lines)


def _change_lines(part: str, change: Changed) -> Iterator[str]:
    both = [change.a, change.b]
    if part == "IR":
        yield change.name
        a, b = ("" if text is None else str(text) for text in both)
        yield from list(unified_diff(a.splitlines(), b.splitlines(), lineterm="", n=0))[2:]
    elif part == "files" and None not in both:
        yield f"{change.name}: differs"
    else:
        line = f"{change.name}: {_said(change.a)} -> {_said(change.b)}"
        apart = (change.name, f"  - {_said(change.a)}", f"  + {_said(change.b)}")
        yield from [line] if len(line) <= _MAX_LINE else apart


def _said(value: Value) -> str:
    if value is None:
        return "not there"
    return value if isinstance(value, str) else f"{value:,.2f}".removesuffix(".00")
