"""Checks a JSON schema before it is compiled: keywords, their values, and what it may cost.

What passes here is enforced whole. What would be passed over in silence, or would take the compiler
more than a moment, is refused with the keyword and its place.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from ...errors import InputError, shown
from .keywords import ANNOTATIONS, DIALECTS, ENFORCED, FORMATS, REFUSED, Shape
from .params import MAX_TEXT
from .patterns import foreign_syntax

MAX_DEPTH = 48
_MAX_SCHEMAS = 2000
_MAX_REFERENCES = 500
_MAX_PROPERTIES = 500  # of one object
_MAX_PATTERNS = 32  # of one object
_MAX_VALUES = 5000  # of one enum
_MAX_MULTIPLE = 10_000
_MAX_EXACT = 2**53  # larger whole numbers are rounded
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_ESCAPED = "\b\f\n\r\t"

Place = tuple[str, ...]


def check_schema(schema: Any, name: str) -> None:
    """Raises InputError, naming the keyword and its place, for what cannot be enforced whole.

    `name` is what the schema is called where it was given.
    """
    try:
        _check(schema)
    except _NotEnforced as error:
        place, reason = error.args
        raise InputError(f"{name}{shown('.'.join(('', *place)))}{reason}") from None
    except RecursionError:
        raise InputError(f"{name} has values that are nested too deeply; flatten them") from None


class _NotEnforced(Exception):
    """Where in the schema, and why."""


def _check(schema: Any) -> None:
    multiples, num_references = 1, 0
    for count, (place, part) in enumerate(schemas_in(schema)):
        if count == _MAX_SCHEMAS:
            raise _NotEnforced((), f" has more than {_MAX_SCHEMAS} schemas in it; make it smaller")
        for name, value in part.items():
            _check_keyword(place, name, value)
        _check_object(place, part)
        num_references += "$ref" in part
        if num_references > _MAX_REFERENCES:
            raise _NotEnforced((), f" has more than {_MAX_REFERENCES} references; make it smaller")
        if "multipleOf" in part:
            multiples = math.lcm(multiples, _hard_factor(part["multipleOf"]))
            if multiples > _MAX_MULTIPLE:
                raise _NotEnforced(
                    (*place, "multipleOf"),
                    f"={part['multipleOf']} takes too many states; leave it out",
                )


def schemas_in(schema: Any) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every schema that is an object, outer ones first, with where it is."""
    left: list[tuple[Place, Any]] = [((), schema)]
    while left:
        place, part = left.pop()
        if isinstance(part, bool):
            continue
        if not isinstance(part, dict):
            raise _NotEnforced(place, f"={shown(part)} is not a schema")
        if len(place) > 2 * MAX_DEPTH:
            raise _NotEnforced(place[:3], f" is nested deeper than {MAX_DEPTH} schemas; flatten it")
        yield place, part
        for name, value in part.items():
            left += _inner(place, name, value)


def _inner(place: Place, name: str, value: Any) -> list[tuple[Place, Any]]:
    match ENFORCED.get(name):
        case Shape.SCHEMA:
            return [((*place, name), value)]
        case Shape.SCHEMAS:
            return [((*place, name, str(i)), part) for i, part in enumerate(value)]
        case Shape.NAMED_SCHEMAS:
            return [((*place, name, key), part) for key, part in value.items()]
    return []


def _check_keyword(place: Place, name: str, value: Any) -> None:
    here = (*place, name)
    if name in REFUSED:
        raise _NotEnforced(here, f": the keyword {name} is not supported; leave it out")
    if name in ANNOTATIONS:
        _check_annotation(place, name, value)
        return
    shape = ENFORCED.get(name)
    if shape is None:
        if name.startswith("x-"):
            return
        raise _NotEnforced(here, f": {name} is no keyword of JSON Schema; leave it out")
    if not _FITS[shape](value):
        raise _NotEnforced(here, f"={shown(value)} is not {shape.value}")
    check = _OWN_CHECKS.get(name)
    if check is not None and (reason := check(value)):
        raise _NotEnforced(here, reason)


def _check_annotation(place: Place, name: str, value: Any) -> None:
    if name == "$schema" and not any(f"/{d}/" in str(value) for d in DIALECTS):
        raise _NotEnforced((*place, name), f"={shown(value)} is not one of {', '.join(DIALECTS)}")
    if name == "$id" and place:
        raise _NotEnforced(
            (*place, name), ": an $id inside a schema is not supported; leave it out"
        )


def _check_object(place: Place, part: dict[str, Any]) -> None:
    """What a text that names a property twice would get around."""
    least, required = part.get("minProperties", 0), part.get("required", ())
    if least > max(1, len(set(required))):
        raise _NotEnforced(
            (*place, "minProperties"),
            f"={least} is more than the {len(set(required))} required properties: names may come "
            "twice; require more of them by name",
        )


def _values_reason(values: list[Any]) -> str | None:
    if len(values) > _MAX_VALUES:
        return f" has {len(values)} values; give at most {_MAX_VALUES}"
    return next(filter(None, map(_value_reason, values)), None)


def _value_reason(value: Any) -> str | None:
    """Why a text cannot hold exactly this value."""
    match value:
        case dict():
            return _values_reason([*value.keys(), *value.values()])
        case list():
            return _values_reason(value)
        case str():
            return _text_reason(value)
        case float() | int() if not isinstance(value, bool):
            return _number_reason(value)
    return None


def _number_reason(value: float) -> str | None:
    if isinstance(value, int) and abs(value) > _MAX_EXACT:
        return f"={value} is beyond 2**53, where numbers are rounded; give it as a text"
    return None


def _text_reason(text: str) -> str | None:
    if len(text) > MAX_TEXT:
        return f" has a text of {len(text)} characters; give at most {MAX_TEXT}"
    if any((c < " " and c not in _ESCAPED) or c == "\x7f" for c in text):
        return f"={shown(text)} has a control character, which is not supported"
    return None


def _properties_reason(properties: dict[str, Any]) -> str | None:
    if len(properties) > _MAX_PROPERTIES:
        return f" has {len(properties)} properties; give at most {_MAX_PROPERTIES}"
    return next(filter(None, map(_text_reason, properties)), None)


def _pattern_properties_reason(properties: dict[str, Any]) -> str | None:
    if len(properties) > _MAX_PATTERNS:
        return f" has {len(properties)} patterns; give at most {_MAX_PATTERNS}"
    return next(filter(None, map(_pattern_reason, properties)), None)


def _pattern_reason(pattern: str) -> str | None:
    if len(pattern) > MAX_TEXT:
        return f" has {len(pattern)} characters; give at most {MAX_TEXT}"
    found = foreign_syntax(pattern)
    return f"={shown(pattern)} has {found}, which is not supported" if found else None


def _format_reason(name: str) -> str | None:
    return None if name in FORMATS else f"={shown(name)} is not one of {', '.join(FORMATS)}"


def _reference_reason(target: str) -> str | None:
    inside = target.startswith("#")
    return None if inside else f"={shown(target)} is outside of the schema; bring it into $defs"


def _multiple_reason(value: float) -> str | None:
    return None if value > 0 else f"={shown(value)} is not above 0"


def _hard_factor(value: float) -> int:
    """The numerator without 2 and 5: a text is read digit by digit, and these need no memory."""
    numerator = Fraction(str(value)).numerator
    for factor in (2, 5):
        while numerator % factor == 0:
            numerator //= factor
    return numerator


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_types(value: Any) -> bool:
    return bool(value) and all(t in _TYPES for t in (value if isinstance(value, list) else [value]))


_FITS: dict[Shape, Callable[[Any], bool]] = {
    Shape.SCHEMA: lambda value: isinstance(value, (dict, bool)),
    Shape.SCHEMAS: lambda value: isinstance(value, list) and bool(value),
    Shape.NAMED_SCHEMAS: lambda value: isinstance(value, dict),
    Shape.COUNT: lambda value: type(value) is int and value >= 0,
    Shape.NUMBER: _is_number,
    Shape.TEXT: lambda value: isinstance(value, str),
    Shape.NAMES: _is_texts,
    Shape.TYPES: _is_types,
    Shape.VALUES: lambda value: isinstance(value, list) and bool(value),
    Shape.VALUE: lambda value: True,
}
_OWN_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "$ref": _reference_reason,
    "enum": _values_reason,
    "const": _value_reason,
    "properties": _properties_reason,
    "required": _values_reason,
    "patternProperties": _pattern_properties_reason,
    "pattern": _pattern_reason,
    "format": _format_reason,
    "minimum": _number_reason,
    "maximum": _number_reason,
    "exclusiveMinimum": _number_reason,
    "exclusiveMaximum": _number_reason,
    "multipleOf": _multiple_reason,
}
