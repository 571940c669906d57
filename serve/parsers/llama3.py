"""Llama 3.1 and later: the answer is JSON, several calls apart by semicolons.

{"name": "get_weather", "parameters": {"city": "Oslo"}}
<|python_tag|>{"name": "get_weather", "parameters": {"city": "Oslo"}}; {"name": ...
"""

import re

from .base import CallFormat, Form, Wording

FORMAT = CallFormat(
    opening="<|python_tag|>",
    forms=[
        Form(
            re.compile(
                r'\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,'
                r'\s*"(?:parameters|arguments)"\s*:\s*(?=\{)'
            ),
            re.compile(r"\s*\}\s*(?P<more>;)|\s*\}\s*(?=[^\s;])"),
        )
    ],
    wording=Wording(
        first="",
        call='{{"name": "{name}", "parameters": ',
        call_end="}",
        between="; ",
        last="",
    ),
    marks=["<|python_tag|>", '"parameters": dictionary of argument name'],
    begins_bare=True,
    is_special=True,
)
