"""Hermes, Qwen and tapeout-nano: JSON in tags of its own.

<tool_call>
{"name": "get_weather", "arguments": {"city": "Oslo"}}
</tool_call>
"""

import re

from .base import CallFormat, Form, Wording

FORMAT = CallFormat(
    opening="<tool_call>",
    forms=[
        Form(
            re.compile(r'\s*\{\s*"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,\s*"arguments"\s*:\s*(?=\{)'),
            re.compile(r"\s*\}?\s*</tool_call>"),
        )
    ],
    wording=Wording(
        first="",
        call='<tool_call>\n{{"name": "{name}", "arguments": ',
        call_end="}\n</tool_call>",
        between="\n",
        last="",
    ),
    marks=["<tool_call>"],
)
