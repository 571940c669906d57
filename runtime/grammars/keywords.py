"""The keywords of JSON Schema 2020-12, each with what its value must be and what becomes of it.

Every keyword is enforced, says nothing about a text (an annotation), or is refused by its name. The
table in docs/structured.md is made from these.
"""

from enum import Enum


class Shape(Enum):
    """What the value of an enforced keyword is."""

    SCHEMA = "a schema"
    SCHEMAS = "a list of schemas"
    NAMED_SCHEMAS = "an object of schemas"
    COUNT = "a whole number from 0"
    NUMBER = "a number"
    TEXT = "a text"
    NAMES = "a list of texts"
    TYPES = "a type or a list of types"
    VALUES = "a list of values"
    VALUE = "any value"


ENFORCED = {
    "$ref": Shape.TEXT,
    "$defs": Shape.NAMED_SCHEMAS,
    "definitions": Shape.NAMED_SCHEMAS,
    "type": Shape.TYPES,
    "enum": Shape.VALUES,
    "const": Shape.VALUE,
    "allOf": Shape.SCHEMAS,
    "anyOf": Shape.SCHEMAS,
    "oneOf": Shape.SCHEMAS,
    "properties": Shape.NAMED_SCHEMAS,
    "patternProperties": Shape.NAMED_SCHEMAS,
    "additionalProperties": Shape.SCHEMA,
    "required": Shape.NAMES,
    "minProperties": Shape.COUNT,
    "maxProperties": Shape.COUNT,
    "items": Shape.SCHEMA,
    "prefixItems": Shape.SCHEMAS,
    "minItems": Shape.COUNT,
    "maxItems": Shape.COUNT,
    "minLength": Shape.COUNT,
    "maxLength": Shape.COUNT,
    "pattern": Shape.TEXT,
    "format": Shape.TEXT,
    "minimum": Shape.NUMBER,
    "maximum": Shape.NUMBER,
    "exclusiveMinimum": Shape.NUMBER,
    "exclusiveMaximum": Shape.NUMBER,
    "multipleOf": Shape.NUMBER,
}

_DATES = ("date", "date-time", "time", "duration")
FORMATS = (*_DATES, "email", "hostname", "ipv4", "ipv6", "uuid", "uri")

LIMITED = {
    "$ref": "within the schema alone: `#`, `#/...` or `#anchor`",
    "oneOf": "where no value can match two: other types, other constants of a required property",
    "minProperties": "up to 1, or up to the number of required properties; with `properties` only "
    "where all of them are required",
    "maxProperties": "with `properties` only where all of them are required",
    "patternProperties": "patterns that no name matches two of; at most 32",
    "pattern": "in the syntax that ECMA 262 and Rust's `regex` share: no look-around, no `\\b`",
    "multipleOf": "where the numerator is small; 2 and 5 as factors are free",
    "format": ", ".join(f"`{name}`" for name in FORMATS),
}

ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
    + ("$comment", "$schema", "$id", "$anchor", "discriminator")
)

REFUSED = frozenset(
    ("not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems")
    + ("propertyNames", "dependentRequired", "dependentSchemas", "dependencies")
    + ("unevaluatedItems", "unevaluatedProperties", "additionalItems", "nullable")
    + ("contentEncoding", "contentMediaType", "contentSchema", "$vocabulary")
    + ("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "x-guidance")
)

DIALECTS = ("2020-12", "2019-09", "draft-07", "draft-06", "draft-04")


def render_table() -> str:
    """The table of docs/structured.md, in Markdown."""
    lines = ["| keyword | |", "|---|---|"]
    lines += [
        f"| `{name}` | enforced{': ' + LIMITED[name] if name in LIMITED else ''} |"
        for name in ENFORCED
    ]
    for words, what in ((ANNOTATIONS, "says nothing about a text"), (REFUSED, "refused")):
        lines.append(f"| {', '.join(f'`{name}`' for name in sorted(words))} | {what} |")
    return "\n".join(lines) + "\n"
