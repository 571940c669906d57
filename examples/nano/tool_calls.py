"""Task: call one of the given tools with the right arguments."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from .example import Example, Tool, ask
from .toolbox import TOOLBOX, ToolSpec, made_up_tool
from .wording import POLITE, Values, draw_different, is_integer, join_names, roughen

_NAMED_CALLS = (
    "Call {tool} with {arguments}.",
    "Call the tool {tool} with {arguments}.",
    "Use {tool} with {arguments}.",
    "Use the {tool} tool with {arguments}.",
    "Run {tool} with {arguments}.",
    "Invoke {tool} with {arguments}.",
    "Execute {tool} with {arguments}.",
    "Make a call to {tool} with {arguments}.",
    "Call {tool} where {arguments}.",
    "Call {tool}({arguments})",
    "Use {tool} with these arguments: {arguments}",
    "Call the function {tool} with {arguments}.",
    "Call {tool}: {arguments}",
    "Call {tool} with the arguments {arguments}.",
    "Use the tool {tool}. Arguments: {arguments}",
)
_NAMED_CALLS_UNSEEN = (
    "Run the tool {tool} with {arguments}.",
    "Please use the tool {tool} with {arguments}.",
    "Call the {tool} tool with {arguments}.",
)
_ARGUMENT_STYLES = (
    "{name} {value}",
    "{name}={value}",
    "{name}: {value}",
    "{name} = {value}",
    '{name} "{value}"',
)


@dataclass(frozen=True)
class Call:
    """A call that a user asked for."""

    request: str
    name: str
    arguments: Values

    @property
    def text(self) -> str:
        """The call as the model writes it."""
        body = json.dumps({"name": self.name, "arguments": self.arguments})
        return f"<tool_call>\n{body}\n</tool_call>"


def make_tool_call(rng: random.Random, *, unseen: bool = False) -> Example:
    """Call the named, or the fitting, one of 1 to 4 tools."""
    specs = draw_tools(rng)
    call = draw_call(rng.choice(specs), rng, unseen=unseen)
    tools = [describe(spec, rng) for spec in specs]
    return Example("tool_call", call.request, ask(call.request), tools, call.text)


def draw_tools(rng: random.Random) -> list[ToolSpec]:
    """One to four tools with different names, known and made-up ones."""
    known = rng.sample(TOOLBOX, rng.randint(0, 3))
    made_up = [made_up_tool(rng) for _ in range(rng.randint(0 if known else 1, 2))]
    specs = list({spec.name: spec for spec in (*known, *made_up)}.values())[:4]
    rng.shuffle(specs)
    return specs


def draw_call(spec: ToolSpec, rng: random.Random, *, unseen: bool = False) -> Call:
    """A request for this tool: in plain words where it has some, else by its name."""
    arguments = draw_different(spec.parameters, rng)
    if spec.requests and rng.random() < 0.65:
        requests = spec.unseen if unseen and spec.unseen else spec.requests
        request = roughen(rng.choice(requests), rng)
        return Call(request.format(**arguments), spec.name, arguments)
    style = rng.choice(_ARGUMENT_STYLES)
    parts = [style.format(name=name, value=value) for name, value in arguments.items()]
    request = rng.choice(_NAMED_CALLS_UNSEEN if unseen else _NAMED_CALLS)
    request = request.format(tool=spec.name, arguments=join_names(parts, rng))
    if rng.random() < 0.2 and not unseen:
        request = rng.choice(POLITE) + request[0].lower() + request[1:]
    return Call(request, spec.name, arguments)


def describe(spec: ToolSpec, rng: random.Random) -> Tool:
    """The tool as an OpenAI-style function schema; optional parts come and go."""
    described, required = rng.random() < 0.25, rng.random() < 0.7
    properties = {}
    for name, kind in spec.parameters.items():
        properties[name] = {"type": "integer" if is_integer(kind) else "string"}
        if described:
            properties[name]["description"] = f"The {name.replace('_', ' ')}."
    parameters: Tool = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = list(spec.parameters)
    function = {"name": spec.name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function}
