"""How a conversation is written down: ChatML turns, and tools in the manner of Hermes.

    <|im_start|>system
    You can call these tools.
    <tools>
    {"type": "function", "function": {...}}
    </tools><|im_end|>
    <|im_start|>user
    What is the weather in Oslo?<|im_end|>
    <|im_start|>assistant
    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Oslo"}}
    </tool_call><|im_end|>

`CHAT_TEMPLATE` is what a checkpoint carries; `segments` is the same in Python, for training.
"""

from __future__ import annotations

import json

from .example import Message, Tool

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MARKERS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>")

_TOOLS_INTRO = "You can call these tools.\n<tools>\n"

CHAT_TEMPLATE = (
    "{%- if tools -%}"
    "{{- '<|im_start|>system\\n' -}}"
    "{%- if messages[0].role == 'system' -%}{{- messages[0].content + '\\n\\n' -}}{%- endif -%}"
    "{{- 'You can call these tools.\\n<tools>\\n' -}}"
    "{%- for tool in tools -%}{{- tool | tojson -}}{{- '\\n' -}}{%- endfor -%}"
    "{{- '</tools><|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if not (tools and loop.first and message.role == 'system') -%}"
    "{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}"
    "{%- for call in message.tool_calls or [] -%}"
    "{%- set call = call.function or call -%}"
    "{%- if not loop.first or message.content -%}{{- '\\n' -}}{%- endif -%}"
    '{{- \'<tool_call>\\n{"name": "\' + call.name + \'", "arguments": \' -}}'
    "{%- if call.arguments is string -%}{{- call.arguments -}}"
    "{%- else -%}{{- call.arguments | tojson -}}{%- endif -%}"
    "{{- '}\\n</tool_call>' -}}"
    "{%- endfor -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def segments(messages: list[Message], tools: list[Tool] | None = None) -> list[tuple[str, bool]]:
    """The conversation in pieces, each with whether the model is to write it."""
    pieces: list[tuple[str, bool]] = []
    if tools:
        system = messages[0]["content"] + "\n\n" if messages[0]["role"] == "system" else ""
        lines = "".join(f"{json.dumps(tool, ensure_ascii=False)}\n" for tool in tools)
        opening = f"{TURN_START}system\n{system}{_TOOLS_INTRO}{lines}</tools>{TURN_END}\n"
        pieces.append((opening, False))
        messages = messages[1:] if system else messages
    for message in messages:
        pieces.append((f"{TURN_START}{message['role']}\n", False))
        pieces.append((f"{message['content']}{TURN_END}", message["role"] == "assistant"))
        pieces.append(("\n", False))
    return pieces
