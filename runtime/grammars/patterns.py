"""Finds in a pattern what Rust's `regex` reads otherwise than ECMA 262, of which schemas speak.

What neither reads, or one alone, is an error of the compiler; here is what both read, in two ways.
"""

import re

_TOKEN = re.compile(
    r"(?P<escape>\\.)|(?P<open>\[\^?\]?)|(?P<close>\])|(?P<flags>\(\?[a-zA-Z-]*[):])|(?P<other>.)",
    re.DOTALL,
)
_OWN_ESCAPES = "AzZGQEUhHRXK"  # of other dialects; to ECMA 262 they are the letters themselves
_SET_OPERATORS = ("&&", "--", "~~")


def foreign_syntax(pattern: str) -> str | None:
    """The first thing that means something else, or None."""
    is_inside, before = False, ""
    for match in _TOKEN.finditer(pattern):
        text, kind = match.group(), match.lastgroup
        if kind == "escape" and text[1] in _OWN_ESCAPES:
            return text
        if kind == "flags" and text != "(?:" and not is_inside:
            return text
        if is_inside and kind == "open":
            return "[ within [ ]"
        if is_inside and before + text in _SET_OPERATORS:
            return before + text
        is_inside = kind == "open" or (is_inside and kind != "close")
        before = text
    return None
