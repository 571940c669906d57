"""Mistral: a list of calls behind a token of its own, or since version 11 a name and its arguments.

[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo"}}]
[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}
"""

import re

from .base import CallFormat, Form, Wording

FORMAT = CallFormat(
    opening="[TOOL_CALLS]",
    forms=[
        Form(
            re.compile(
                r'\s*\[?\s*\{\s*"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,\s*"arguments"\s*:\s*(?=\{)'
            ),
            re.compile(r"\s*\}\s*(?P<more>,)|\s*\}\s*\]"),
        ),
        Form(
            re.compile(r"\s*(?P<name>[\w.-]+)(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?=\{)"),
            re.compile(""),
        ),
    ],
    wording=Wording(
        first="[TOOL_CALLS][",
        call='{{"name": "{name}", "arguments": ',
        call_end="}",
        between=", ",
        last="]",
    ),
    marks=["[TOOL_CALLS]"],
    is_special=True,
)
