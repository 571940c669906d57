"""JSON values near one another, and what a schema says of them by the validator of its authors."""

import random
import re
from datetime import date, datetime, time

from jsonschema import Draft202012Validator, FormatChecker

SCALARS = [None, True, False, 0, 1, -1, 7, 1.5, 10**6, "", "a", "xyz", "é", "2020-02-30", [], {}]
_HOST = (
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_formats = FormatChecker()


@_formats.checks("date", raises=ValueError)
def _is_date(text):
    """The year 0, a leap year, is one that Python does not know."""
    if not isinstance(text, str):
        return True
    date.fromisoformat(re.sub("^0000", "2000", text))
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(text):
    """A leap second is a second that Python does not know."""
    if not isinstance(text, str):
        return True
    datetime.fromisoformat(re.sub("^0000", "2000", text.upper()).replace(":60", ":59"))
    return re.search(r"[zZ]|[+-]\d\d:\d\d$", text) is not None


@_formats.checks("time", raises=ValueError)
def _is_time(text):
    return not isinstance(text, str) or bool(time.fromisoformat(text.upper().replace(":60", ":59")))


@_formats.checks("hostname")
def _is_hostname(text):
    return not isinstance(text, str) or re.fullmatch(_HOST, text) is not None


@_formats.checks("duration")
def _is_duration(text):
    parts = r"P(\d+W|(?=.)(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?)"
    return not isinstance(text, str) or re.fullmatch(parts, text) is not None


@_formats.checks("uri")
def _is_uri(text):
    return not isinstance(text, str) or re.fullmatch(r"[A-Za-z][\w+.-]*:[!-~]*", text) is not None


def validator(schema):
    """What says whether a value matches."""
    return Draft202012Validator(schema, format_checker=_formats)


def neighbours(value, rng: random.Random):
    """Values that differ from this one in one place; a third of them in more."""
    for _ in range(60):
        changed = _changed(value, rng)
        yield _changed(changed, rng) if rng.random() < 0.3 else changed


def constants(schema):
    """Values that a schema speaks of, and numbers and texts at its bounds."""
    if isinstance(schema, list):
        return [found for part in schema for found in constants(part)]
    if not isinstance(schema, dict):
        return []
    found = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    for name, value in schema.items():
        if name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
            found += [value, value + 1, value - 1, value + 0.5]
        elif name in ("minLength", "maxLength") and value < 99:
            found += ["x" * max(0, value + more) for more in (-1, 0, 1)]
        elif name in ("minItems", "maxItems") and value < 99:
            found += [[1] * max(0, value + more) for more in (-1, 0, 1)]
        found += constants(list(value.values()) if isinstance(value, dict) else value)
    return found


def _changed(value, rng):
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        kind = rng.randrange(4)
        rest = value[:i] + value[i + 1 :]
        if kind == 0:
            return rest
        if kind == 1:
            return [*value, value[i]]
        return [*value[:i], _changed(value[i], rng), *value[i + 1 :]]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        kind = rng.randrange(4)
        if kind == 0:
            return {key: part for key, part in value.items() if key != name}
        if kind == 1:
            return {**value, rng.choice(["zz", name + "x", "a", "b"]): rng.choice(SCALARS)}
        return {**value, name: _changed(value[name], rng)}
    if isinstance(value, str) and rng.random() < 0.6:
        return rng.choice([value + "a", value[1:], value + value, value.upper(), value[::-1]])
    if type(value) in (int, float) and rng.random() < 0.6:
        return rng.choice([value + 1, value - 1, value + 0.5, -value, value * 10, value / 7])
    return rng.choice(SCALARS)
