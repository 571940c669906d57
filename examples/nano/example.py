"""One exercise with its right answer, and the split that keeps held-out ones out of training."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["train", "held_out"]
Message = dict[str, str]
Tool = dict[str, Any]

_HELD_OUT_OF = 16
"""One exercise in so many is held out."""


@dataclass(frozen=True)
class Example:
    """An exercise.

    `key` is what is asked, whatever the wording: the numbers to add, the words to sort. The split
    looks at it alone, so a held-out exercise is never trained on in other words either.
    """

    task: str
    key: str
    messages: list[Message]
    tools: list[Tool] | None
    answer: str

    @property
    def split(self) -> Split:
        """Which side this exercise belongs to; a pure function of task and key."""
        digest = hashlib.blake2b(f"{self.task}\n{self.key}".encode(), digest_size=4).digest()
        return "held_out" if int.from_bytes(digest) % _HELD_OUT_OF == 0 else "train"

    def to_json(self) -> str:
        """The exercise as an entry of `prompts.json`."""
        record: dict[str, Any] = {"task": self.task, "messages": self.messages}
        if self.tools:
            record["tools"] = self.tools
        return json.dumps({**record, "answer": self.answer})


def ask(text: str) -> list[Message]:
    """A conversation of one user turn."""
    return [{"role": "user", "content": text}]
