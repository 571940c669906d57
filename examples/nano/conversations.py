"""Training conversations: turns of several tasks, until a given length is full."""

from __future__ import annotations

import random
from typing import Any

from .chat_format import segments
from .example import Example, Message, Tool, ask
from .novelty import describe_further, disguise, rename, unfamiliar_word
from .small_talk import SYSTEM_PROMPTS, make_chat
from .tasks import make
from .tool_calls import Call, describe, draw_call, draw_tools
from .toolbox import ToolSpec
from .wording import draw

TURN_SHARES = {
    "copy": 5,
    "reverse": 7,
    "sort": 20,
    "add": 15,
    "subtract": 20,
    "extract": 8,
    "passage": 24,
    "chat": 5,
}
"""How often each task is drawn for a turn that calls no tool."""

Segments = list[tuple[str, bool]]

_RESULTS = ("{id}", "{word}", "{city}", "done", "ok", "{phrase}", "{price} {currency}")
_NAMES, _SHARES = list(TURN_SHARES), list(TURN_SHARES.values())


class Conversation:
    """A conversation that grows by turns.

    One in five opens with a system prompt, `tool_share` of them with tools; where there are tools,
    half of the turns call one. A `novelty` share of turns and tools has unfamiliar words.
    """

    def __init__(self, rng: random.Random, tool_share: float = 0.1, novelty: float = 0.0) -> None:
        self._rng = rng
        self._novelty = novelty
        self._specs: list[ToolSpec] = []
        self._opening: list[Message] = []
        self._tools: list[Tool] | None = None
        if rng.random() < 0.2:
            self._opening.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
        if rng.random() < tool_share:
            self._specs = draw_tools(rng)
            self._specs = [rename(spec, rng) if self._novel() else spec for spec in self._specs]
            self._tools = [describe(spec, rng) for spec in self._specs]
            self._tools = [describe_further(t, rng) if self._novel() else t for t in self._tools]

    def next_turn(self) -> Segments:
        """The segments of one more request with its answer; the first come with the opening."""
        turn = segments(self._opening + self._draw_turn(), self._tools)
        self._opening, self._tools = [], None
        return turn

    def _draw_turn(self) -> list[Message]:
        if self._specs and self._rng.random() < 0.5:
            return self._draw_tool_turn()
        task = self._rng.choices(_NAMES, _SHARES)[0]
        if task == "chat":
            example = make_chat(self._rng)
        else:
            example = make(task, self._rng, split="train")
        return self._exchange(task, example.messages[0]["content"], example.answer)

    def _novel(self) -> bool:
        return self._novelty > 0 and self._rng.random() < self._novelty

    def _exchange(self, task: str, request: str, answer: str) -> list[Message]:
        if self._novel():
            request, answer = disguise(task, (request, answer), self._rng)
        return [*ask(request), {"role": "assistant", "content": answer}]

    def _draw_tool_turn(self) -> list[Message]:
        """A call, and now and then what the tool gave and the answer that follows from it."""
        call = self._draw_call()
        messages = self._exchange("tool_call", call.request, call.text)
        if self._rng.random() < 0.25:
            result = self._rng.choice(_RESULTS).format_map(_Drawn(self._rng))
            if self._novel():
                result = unfamiliar_word(self._rng)
            messages.append({"role": "tool", "content": result})
            messages.append({"role": "assistant", "content": f"The result is {result}."})
        return messages

    def _draw_call(self) -> Call:
        while True:
            call = draw_call(self._rng.choice(self._specs), self._rng)
            if Example("tool_call", call.request, [], None, call.text).split == "train":
                return call


class _Drawn(dict[str, Any]):
    """Values that are drawn when a format string asks for them."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    def __missing__(self, kind: str) -> str | int:
        return draw(kind, self._rng)
