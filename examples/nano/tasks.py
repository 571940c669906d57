"""The checkable tasks of tapeout-nano: make an exercise, and check an answer to it.

    from examples.nano import tasks
    example = tasks.make("sort", random.Random(0))
    tasks.check(example.task, "apple pear", example.answer)

Standard library alone, so that whoever checks answers needs neither torch nor transformers.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any, Protocol

from .arithmetic import make_add, make_subtract
from .example import Example, Split
from .extraction import make_extract
from .passages import make_passage
from .tool_calls import make_tool_call
from .word_lists import make_copy, make_reverse, make_sort


class Maker(Protocol):
    """Draws one exercise; `unseen` asks for a wording that training never uses."""

    def __call__(self, rng: random.Random, *, unseen: bool = False) -> Example: ...


TASKS: dict[str, Maker] = {
    "copy": make_copy,
    "reverse": make_reverse,
    "sort": make_sort,
    "add": make_add,
    "subtract": make_subtract,
    "extract": make_extract,
    "tool_call": make_tool_call,
    "passage": make_passage,
}

_TOOL_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def make(
    task: str, rng: random.Random, *, split: Split = "held_out", unseen: bool = False
) -> Example:
    """An exercise of this task from one side of the split; equal for equal states of `rng`."""
    while True:
        example = TASKS[task](rng, unseen=unseen)
        if example.split == split:
            return example


def check(task: str, text: str, answer: str) -> bool:
    """Whether `text`, a reply without its end token, says the same as `answer`.

    Outer white space never matters. Sums may be the result alone, lists may change their
    separators, a passage's answer may have an article or a full stop, and JSON is compared as
    data. A copy must be exact.
    """
    text = text.strip()
    if task in ("add", "subtract"):
        text, answer = text.replace(" ", ""), answer.replace(" ", "")
        return text in (answer, answer.partition("=")[2])
    read = _READERS.get(task, str)
    return bool(read(answer) == read(text))


def _read_list(text: str) -> list[str]:
    return re.split(r"[,\s]+", text)


def _read_json(text: str) -> Any:
    """The value that is written, or None if it is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _read_tool_call(text: str) -> Any:
    call = _TOOL_CALL.fullmatch(text)
    return _read_json(call[1]) if call else None


def _read_fact(text: str) -> str:
    return re.sub(r"^(an?|the) ", "", text.removesuffix(".").lower())


_READERS: dict[str, Callable[[str], Any]] = {
    "reverse": _read_list,
    "sort": _read_list,
    "extract": _read_json,
    "tool_call": _read_tool_call,
    "passage": _read_fact,
}
