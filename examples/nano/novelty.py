"""Unfamiliar words in familiar exercises, so that a model copies what it has never seen.

    Before:  Theo has a crab. Oscar has a puppy. Whose pet is a crab?      ->  Theo
    After:   Vrolnik has a zut. Oscar has a puppy. Whose pet is a zut?     ->  Vrolnik

A request and its answer change together, so the answer stays right. An unfamiliar word is never
one that the tasks draw, so a held-out exercise can not come about here.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Iterable
from dataclasses import replace

from . import words
from .example import Example, Tool
from .small_talk import CANNOT, WHO
from .toolbox import TOOLBOX, ToolSpec
from .wording import draw_different

Turn = tuple[str, str]
"""A request and its answer."""

_WORD = re.compile(r"[^\W\d_]+")
_PROPER = {*words.FIRST_NAMES, *words.LAST_NAMES, *words.CITIES}
_ENTITIES = {*words.ANIMALS, *words.FOODS, *words.THINGS, *words.JOBS, *words.HOBBIES} - {"house"}
_NAMED = _PROPER | _ENTITIES
_SORTABLE = sorted({*words.WORDS, *words.COMMON, *words.JOBS, *words.FIRST_NAMES, *words.CITIES})
_PLAIN = (*words.WORDS, *words.COMMON)
_FAMILIAR = {*words.WORDS, *_PROPER, *_ENTITIES}
_LETTERS = "éèüöäñçåøßłžščőαβγδεπσωабвгдежзик中文日本語你好世界한국"
_REPLACED_SHARE = 0.6
_FIELD = re.compile(r"\{(\w+)\}")

SYNONYMS = {
    "city": ("location", "place", "town", "where", "location", "location"),
    "minutes": ("duration", "length", "duration_minutes"),
    "label": ("name", "title"),
    "day": ("date", "weekday"),
    "time": ("hour", "at", "clock"),
    "to": ("recipient", "address", "email"),
    "subject": ("title", "topic"),
    "amount": ("value", "sum", "money"),
    "source": ("from", "from_currency", "base"),
    "target": ("to", "to_currency", "into"),
    "text": ("sentence", "input", "phrase"),
    "language": ("target_language", "lang", "to"),
    "query": ("q", "search", "keywords", "text"),
    "people": ("party_size", "guests", "persons"),
    "title": ("event", "name", "summary"),
    "room": ("location", "where", "place"),
    "origin": ("from", "start", "departure"),
    "destination": ("to", "end", "arrival"),
    "name": ("contact", "person", "who"),
    "item": ("product", "thing", "name"),
    "quantity": ("count", "number", "amount"),
    "ingredient": ("food", "dish", "query"),
    "count": ("number", "dice", "times"),
    "sides": ("faces", "max", "size"),
}


def disguise(task: str, turn: Turn, rng: random.Random) -> Turn:
    """The same exercise with other words in it."""
    if task == "sort":
        return _disguise_sort(turn, rng)
    if task == "chat":
        return _odd_request(rng)
    if task == "copy" and rng.random() < 0.4:
        request, answer = turn
        sentence = _sentence(rng)
        return request.replace(answer, sentence), sentence
    return _replace_words(turn, _candidates(task, turn), rng)


def unfamiliar_word(rng: random.Random) -> str:
    """A word that no task draws: letters, an everyday word, a code, or another script."""
    while True:
        word = rng.choice(_KINDS)(rng)
        if rng.random() < 0.3:
            word = word.capitalize()
        if word not in _FAMILIAR:
            return word


def identifier(rng: random.Random) -> str:
    """A name such as `max_items`, `unitKind` or `qx`."""
    parts = [_pronounceable(rng) if rng.random() < 0.1 else rng.choice(_PLAIN)]
    while rng.random() < 0.4 and len(parts) < 3:
        parts.append(rng.choice(_PLAIN))
    if rng.random() < 0.2:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    return "_".join(parts)


def rename(spec: ToolSpec, rng: random.Random) -> ToolSpec:
    """The same tool with another name for itself or for some of its parameters."""
    names = {name: name for name in spec.parameters}
    for name in names:
        if rng.random() < 0.5:
            names[name] = rng.choice((*SYNONYMS.get(name, ()), identifier(rng), identifier(rng)))
    if len(set(names.values())) < len(names):
        return spec

    def reword(request: str) -> str:
        return _FIELD.sub(lambda field: "{" + names[field[1]] + "}", request)

    return replace(
        spec,
        name=identifier(rng) if rng.random() < 0.4 else spec.name,
        parameters={names[name]: kind for name, kind in spec.parameters.items()},
        requests=tuple(map(reword, spec.requests)),
    )


def describe_further(tool: Tool, rng: random.Random) -> Tool:
    """The same tool schema with things in it that a caller need not look at."""
    parameters = tool["function"]["parameters"]
    for schema in parameters["properties"].values():
        if rng.random() < 0.3:
            schema["description"] = _sentence(rng)
    if rng.random() < 0.3:
        parameters["additionalProperties"] = False
    return tool


def _candidates(task: str, turn: Turn) -> list[str]:
    """The words of a request that may change: names, and what the answer takes from it."""
    request, answer = turn
    values, names = _values_and_names(task, answer)
    usual = _NAMED if task == "passage" else _PROPER
    movable, fixed = set(_WORD.findall(values)), set(_WORD.findall(names))
    found = {word for word in _WORD.findall(request) if word in movable or word in usual}
    return sorted(found - fixed)


def _values_and_names(task: str, answer: str) -> tuple[str, str]:
    """What an answer took from the request, and the field and tool names that must stay."""
    if task == "extract":
        fields = json.loads(answer)
        return " ".join(map(str, fields.values())), " ".join(fields)
    if task == "tool_call":
        call = json.loads(answer.split("\n")[1])
        arguments = call["arguments"]
        fixed = ("tool", "call", call["name"], *arguments)
        return " ".join(map(str, arguments.values())), " ".join(fixed)
    return answer, ""


def _replace_words(turn: Turn, candidates: Iterable[str], rng: random.Random) -> Turn:
    """Replace some of the candidates throughout; no two by the same word."""
    chosen = [word for word in candidates if rng.random() < _REPLACED_SHARE]
    new: dict[str, None] = {}
    while len(new) < len(chosen):
        new[unfamiliar_word(rng)] = None
    table = dict(zip(chosen, new, strict=True))
    request, answer = (_WORD.sub(lambda m: table.get(m[0], m[0]), text) for text in turn)
    return request, answer


def _disguise_sort(turn: Turn, rng: random.Random) -> Turn:
    """Sort names and everyday words as well, whatever their case."""
    request, answer = turn
    separator = ", " if "," in answer else " "
    given = sorted(answer.split(separator), key=request.find)
    items = rng.sample(_SORTABLE, len(given))
    if Example("sort", " ".join(items), [], None, "").split == "held_out":
        return turn
    start = request.find(separator.join(given))
    if start < 0:
        return turn
    end = start + len(separator.join(given))
    request = request[:start] + separator.join(items) + request[end:]
    return request, separator.join(sorted(items, key=str.lower))


def _odd_request(rng: random.Random) -> Turn:
    """What the model can not do, or a greeting before a question."""
    shape = rng.random()
    if shape < 0.2:
        return rng.choice(("Hi, who are you?", "Hello, who are you?", "Hey, what are you?")), WHO
    if shape < 0.5:
        sign = rng.choice((" * ", "*", " x ", " times ", " / ", " divided by ", "/"))
        sum_text = f"{rng.randint(0, 999)}{sign}{rng.randint(1, 99)}"
        return rng.choice(("{0}", "What is {0}?", "{0} =", "Calculate {0}.")).format(
            sum_text
        ), CANNOT
    if shape < 0.9:
        spec = rng.choice(TOOLBOX)
        arguments = draw_different(spec.parameters, rng)
        return rng.choice(spec.requests).format(**arguments), CANNOT
    return _sentence(rng, at_least=4), CANNOT


def _sentence(rng: random.Random, at_least: int = 1) -> str:
    """Up to ten everyday and unfamiliar words, some of them twice, with punctuation."""
    pool = [rng.choice(words.COMMON) for _ in range(5)]
    pool += [unfamiliar_word(rng) for _ in range(rng.randint(0, 3))]
    text = " ".join(
        rng.choice(pool) + (rng.choice((",", ";", " -", ":")) if rng.random() < 0.1 else "")
        for _ in range(rng.randint(at_least, 10))
    )
    text = text.rstrip(",;:- ")
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    return text + rng.choice(("", "", "", "!", "?", "."))


def _pronounceable(rng: random.Random) -> str:
    pairs = (rng.choice("bcdfghjklmnpqrstvwxz") + rng.choice("aeiouy") for _ in range(5))
    return "".join(pairs)[rng.randint(0, 1) : rng.randint(3, 9)]


def _letters(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_letters, k=rng.randint(1, 5)))


def _everyday(rng: random.Random) -> str:
    return rng.choice(words.COMMON)


def _digits(rng: random.Random) -> str:
    return "".join(rng.choices(string.digits + "abx", k=rng.randint(3, 7)))


def _foreign(rng: random.Random) -> str:
    base = _pronounceable(rng) if rng.random() < 0.5 else ""
    return base + "".join(rng.choices(_LETTERS, k=rng.randint(1, 4)))


def _compound(rng: random.Random) -> str:
    return _everyday(rng) + rng.choice("-'_.") + _pronounceable(rng)


_KINDS = (
    _pronounceable,
    _pronounceable,
    _pronounceable,
    _letters,
    _everyday,
    _everyday,
    _everyday,
    _digits,
    _foreign,
    _compound,
)
