"""Writes tests/runtime/grammars/schemas.json: 200 JSON schemas of rising difficulty.

Level 1 has each keyword of the specification by itself, level 2 objects of several of them, level 3
references, recursion and combinations. Run it again after a change: a test compares.
"""

import json
import random
from pathlib import Path

FILE = Path(__file__).parent / "runtime" / "grammars" / "schemas.json"
NUM_SCHEMAS = 200
TEXT = {"type": "string", "maxLength": 12}
COUNT = {"type": "integer", "minimum": 0, "maximum": 999}
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def closed(properties, *required, **more):
    """An object with these properties alone, all of them required unless some are named."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
        "additionalProperties": False,
        **more,
    }


def array(items, most=3, **more):
    return {"type": "array", "items": items, "maxItems": most, **more}


VALUES = {
    "types": [{"type": name} for name in ("null", "boolean", "integer", "number")]
    + [TEXT, {"type": ["string", "null"], "maxLength": 5}, {"type": ["integer", "boolean"]}, {}],
    "enum": [
        {"enum": ["red", "green", "blue"]},
        {"enum": [1, 2.5, None, True, "x", [1], {"a": 1}]},
        {"type": "string", "enum": ["a", "b", 3]},
        {"enum": ["é", 'a "b"\n\\', "/", "😀"]},
    ],
    "const": [{"const": 7}, {"const": "x/y"}, {"const": {"a": [1, {"b": None}]}}, {"const": 1e-7}],
    "range": [
        {"type": "integer", "minimum": 3, "maximum": 17},
        {"type": "integer", "exclusiveMinimum": -5, "exclusiveMaximum": 5},
        {"type": "number", "minimum": -1.5, "maximum": 2.25},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "integer", "minimum": 1.5, "maximum": 9007199254740992},
        {"minimum": 10, "type": ["number", "null"], "maximum": 20},
        {"type": "integer", "minimum": 2**60},
        {"type": "integer", "minimum": 5, "maximum": 3},
    ],
    "multipleOf": [
        {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 700},
        {"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 10},
        {"type": "integer", "multipleOf": 1000, "maximum": 99000, "minimum": 1},
        {"type": "integer", "multipleOf": 99999999},
        {"type": "integer", "multipleOf": 0},
    ],
    "length": [
        {"type": "string", "minLength": 2, "maxLength": 4},
        {"type": "string", "minLength": 3, "maxLength": 3},
        {"type": "string", "maxLength": 0},
        {"type": "string", "minLength": 4, "maxLength": 2},
    ],
    "pattern": [
        {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        {"type": "string", "pattern": "^(yes|no)$"},
        {"type": "string", "pattern": "^a|b$", "maxLength": 4},
        {"type": "string", "pattern": "[0-9]", "maxLength": 6},
        {"type": "string", "pattern": r"^\d{1,3}(\.\d{1,3}){3}$"},
        {"type": "string", "pattern": "^[a-z]*$", "minLength": 2, "maxLength": 6},
        {"type": "string", "pattern": "^(?!x)a$"},
        {"type": "string", "pattern": r"\bword\b"},
        {"type": "string", "pattern": "^[a-z&&[^b]]$"},
        {"type": "string", "pattern": "(?i)^a$"},
    ],
    "format": [
        {"type": "string", "format": name}
        for name in ("date", "date-time", "time", "ipv4", "ipv6", "uuid")
    ]
    + [
        {"type": "string", "format": name, "maxLength": 24}
        for name in (
            *("duration", "email", "hostname", "uri", "regex", "json-pointer", "iri"),
            *("uri-reference", "idn-email", "int32"),
        )
    ],
    "arrays": [
        array(COUNT),
        array(TEXT, minItems=2),
        array({"type": "boolean"}, 0),
        {"type": "array", "prefixItems": [COUNT, TEXT], "items": False},
        {"type": "array", "prefixItems": [COUNT, TEXT], "items": False, "minItems": 2},
        {"type": "array", "prefixItems": [TEXT], "items": COUNT, "minItems": 1, "maxItems": 3},
        {"type": "array", "items": [COUNT], "additionalItems": False},
        array(array(COUNT, 2), 2),
        {"type": "array", "minItems": 3, "maxItems": 2},
    ],
    "beyond arrays": [
        array(COUNT, uniqueItems=True),
        array(COUNT, contains={"const": 1}),
        array(COUNT, contains={"const": 1}, minContains=2, maxContains=3),
        {"type": "array", "prefixItems": [COUNT], "unevaluatedItems": False},
    ],
    "objects": [
        closed({"a": COUNT}),
        closed({"a": COUNT, "b": TEXT}, "b"),
        {"type": "object", "properties": {"a": COUNT}, "additionalProperties": TEXT},
        {"type": "object", "additionalProperties": COUNT, "maxProperties": 2},
        {"type": "object", "additionalProperties": COUNT, "minProperties": 1, "maxProperties": 2},
        {"type": "object", "additionalProperties": COUNT, "minProperties": 2},
        {"type": "object", "required": ["a"], "additionalProperties": COUNT, "maxProperties": 2},
        {"type": "object", "properties": {"a": False, "b": COUNT}, "additionalProperties": False},
        {"type": "object", "properties": {'q"u\\o/te': COUNT}, "additionalProperties": False},
        {"type": "object", "properties": {"a": COUNT}, "minProperties": 1},
        closed({"a": COUNT}, "a", "b"),
    ],
    "patternProperties": [
        {
            "type": "object",
            "patternProperties": {"^n_[a-z]{1,3}$": COUNT},
            "additionalProperties": False,
            "maxProperties": 2,
        },
        {
            "type": "object",
            "patternProperties": {"^a": COUNT, "^b": TEXT},
            "additionalProperties": False,
            "maxProperties": 2,
        },
        {"type": "object", "patternProperties": {"^a": COUNT, "z$": TEXT}},
        closed({"ab": TEXT}, patternProperties={"^a": {"type": "string"}}),
    ],
    "beyond objects": [
        {"type": "object", "additionalProperties": COUNT, "propertyNames": {"maxLength": 3}},
        closed({"a": COUNT, "b": COUNT}, "a", dependentRequired={"a": ["b"]}),
        closed({"a": COUNT, "b": COUNT}, "a", dependentSchemas={"a": {"required": ["b"]}}),
        closed({"a": COUNT, "b": COUNT}, "a", dependencies={"a": ["b"]}),
        {"type": "object", "properties": {"a": COUNT}, "unevaluatedProperties": False},
    ],
    "anyOf": [
        {"anyOf": [COUNT, TEXT]},
        {"anyOf": [{"type": "null"}, closed({"a": COUNT})]},
        {"type": "integer", "anyOf": [{"maximum": 3, "minimum": 0}, {"const": 77}]},
        closed({"a": COUNT, "b": TEXT}, "a", anyOf=[{"required": ["a"]}, {"required": ["b"]}]),
    ],
    "oneOf": [
        {"oneOf": [COUNT, TEXT]},
        {"oneOf": [closed({"k": {"const": "a"}, "n": COUNT}), closed({"k": {"const": "b"}})]},
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]},
        {"oneOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]},
    ],
    "allOf": [
        {"allOf": [{"type": "integer"}, {"minimum": 3}, {"maximum": 5}]},
        {"type": "string", "maxLength": 5, "allOf": [{"pattern": "^a"}, {"pattern": "b$"}]},
        {"allOf": [closed({"a": COUNT, "b": {}}), {"properties": {"b": TEXT}}]},
        {"allOf": [{"type": "integer"}, {"type": "string"}]},
    ],
    "beyond logic": [
        {"not": {"type": "integer"}},
        {"type": "integer", "if": {"minimum": 5}, "then": {"multipleOf": 5}, "else": {"const": 1}},
        {"type": "integer", "nullable": True},
        {"type": "string", "contentEncoding": "base64"},
        {"type": "string", "contentMediaType": "application/json", "contentSchema": {}},
        {"type": "string", "minlength": 3},
    ],
    "annotations": [
        {"$schema": DRAFT, "$id": "https://example.com/a", "title": "t", **COUNT},
        {"description": "d", "default": 1, "examples": [1], "$comment": "c", **COUNT},
        {"deprecated": True, "readOnly": True, "writeOnly": False, "x-note": 1, **COUNT},
        {"$schema": "https://example.com/dialect", **COUNT},
    ],
    "references": [
        {"$ref": "#/$defs/n", "$defs": {"n": COUNT}},
        {"$ref": "#/$defs/n", "minimum": 5, "$defs": {"n": COUNT}},
        {"$ref": "#/definitions/a~1b", "definitions": {"a/b": COUNT}},
        {"$ref": "#here", "$defs": {"n": {"$anchor": "here", **COUNT}}},
        {"$ref": "https://example.com/other"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n", **COUNT}}},
        closed({"a": COUNT, "b": {"$ref": "#/properties/a"}}),
    ],
    "recursion": [
        {
            "$ref": "#/$defs/node",
            "$defs": {"node": closed({"v": COUNT, "next": {"$ref": "#/$defs/node"}}, "v")},
        },
        {
            "$ref": "#/$defs/tree",
            "$defs": {"tree": {"anyOf": [COUNT, array({"$ref": "#/$defs/tree"}, 2)]}},
        },
        {"anyOf": [{"type": "null"}, closed({"a": {"$ref": "#"}})]},
    ],
}  # fmt: skip


def drawn(rng: random.Random, depth: int) -> dict:
    """A schema made of enforced keywords."""
    kind = rng.randrange(9 if depth else 6)
    match kind:
        case 0:
            low = rng.randint(-50, 50)
            return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 200)}
        case 1:
            low = rng.randint(0, 4)
            return {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 6)}
        case 2:
            return {"enum": rng.sample(["north", "south", 1, 2.5, None, True, "é"], 3)}
        case 3:
            return {"type": "string", "pattern": rng.choice(["^[a-f0-9]{4}$", "^x(y|z){1,3}$"])}
        case 4:
            return {"type": "string", "format": rng.choice(["date", "ipv4", "uuid", "time"])}
        case 5:
            return rng.choice([{"type": "boolean"}, {"type": "null"}, {"const": rng.randint(0, 9)}])
        case 6:
            low = rng.randint(0, 2)
            return array(drawn(rng, depth - 1), low + rng.randint(0, 2), minItems=low)
        case 7:
            return {"anyOf": [drawn(rng, depth - 1), drawn(rng, depth - 1)]}
    names = rng.sample(["id", "name", "tags", "size", "a b", "größe"], rng.randint(1, 4))
    required = rng.sample(names, rng.randint(0, len(names)))
    return {**closed({name: drawn(rng, depth - 1) for name in names}), "required": required}


def with_references(schema: dict, rng: random.Random) -> dict:
    """The same, with parts of it moved into $defs, and one more by allOf."""
    properties, defs = dict(schema["properties"]), {}
    for name in list(properties)[::2]:
        defs[f"d{len(defs)}"] = properties[name]
        properties[name] = {"$ref": f"#/$defs/d{len(defs) - 1}"}
    name = rng.choice(list(properties))
    extra = rng.choice([{"required": [name]}, {"properties": {name: {"minimum": 0}}}])
    return {**schema, "properties": properties, "$defs": defs, "allOf": [extra]}


def make_schemas() -> list[dict]:
    """Each with its level and its name."""
    rng = random.Random(7)
    made = [
        {"level": 1, "name": f"{kind} {i}", "schema": schema}
        for kind, schemas in VALUES.items()
        for i, schema in enumerate(schemas)
    ]
    num_left = NUM_SCHEMAS - len(made)
    for i in range(num_left):
        schema = drawn(rng, 2 + i % 2)
        while "properties" not in schema:
            schema = drawn(rng, 2 + i % 2)
        level = 2 if i < num_left // 2 else 3
        schema = schema if level == 2 else with_references(schema, rng)
        made.append({"level": level, "name": f"drawn {i}", "schema": schema})
    return made


def text_of(made: list[dict]) -> str:
    lines = [json.dumps(entry, ensure_ascii=False) for entry in made]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(text_of(make_schemas()))
