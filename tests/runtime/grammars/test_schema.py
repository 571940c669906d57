"""What a schema may cost, and values that a text cannot hold exactly."""

import json
import time

import numpy as np
import pytest
from fake_model import EOS, VOCAB, make_tokenizer
from source_tree import ROOT

from tapeout import StructuredOutputsParams
from tapeout.errors import InputError
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.constraint import Constraint
from tapeout.runtime.grammars.keywords import render_table
from tapeout.runtime.grammars.patterns import foreign_syntax
from tapeout.runtime.grammars.sources import source_of
from tapeout.runtime.request import Mask, Request


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    return GrammarCompiler(folder, VOCAB, [EOS])


def nested(count, wrap):
    schema = {"type": "integer"}
    for _ in range(count):
        schema = wrap(schema)
    return schema


def chain(count, link):
    """Definitions each of which speaks of the next."""
    defs = {f"d{i}": link({"$ref": f"#/$defs/d{i + 1}"}) for i in range(count)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{count}": {"type": "integer"}}}


def properties(count):
    return {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(count)}}


INTEGER = {"type": "integer"}
COSTLY = {
    "depth 10^4": '{"items":' * 10_000 + "{}" + "}" * 10_000,
    "depth 300": nested(300, lambda s: {"items": s}),
    "depth 40": nested(40, lambda s: {"type": "object", "properties": {"a": s}}),
    "10^4 properties": properties(10_000),
    "500 properties": properties(500),
    "10^5 values": {"enum": [f"value {i}" for i in range(10**5)]},
    "5000 values": {"enum": [f"value {i}" for i in range(5000)]},
    "10^4 schemas": {"anyOf": [{"const": i} for i in range(10_000)]},
    "minItems 10^9": {"type": "array", "minItems": 10**9},
    "maxItems 10^5": {"type": "array", "items": INTEGER, "maxItems": 10**5},
    "maxLength 10^9": {"type": "string", "maxLength": 10**9},
    "length 10^5": {"type": "string", "minLength": 10**5, "maxLength": 10**5},
    "a large prime": {"type": "integer", "multipleOf": 99_999_989},
    "several primes": {"allOf": [{"multipleOf": p} for p in (7, 11, 13, 17, 19, 23)]},
    "many patterns": {"patternProperties": {f"^p{i}_.*$": INTEGER for i in range(200)}},
    "choices of choices": nested(14, lambda s: {"anyOf": [s, {"type": "array", "items": s}]}),
    "all of any": {"allOf": [{"anyOf": [properties(i), properties(20 + i)]} for i in range(1, 11)]},
    "999 references": chain(999, lambda ref: ref),
    "long references": chain(480, lambda ref: {"type": "array", "items": ref}),
    "a long pattern": {"type": "string", "pattern": ".*" * 2048},
    "a longer pattern": {"type": "string", "pattern": ".*" * 50_000},
    "a long text": {"const": "x" * 200_000},
    "a long name": {"properties": {"x" * 10_000: {}}},
    "deep values": '{"enum": [' + "[" * 90 + "]" * 90 + "]}",
    "deeper values": '{"enum": [' + "[" * 900 + "]" * 900 + "]}",
    "wide references": chain(30, lambda ref: {"type": "array", "prefixItems": [ref, ref]}),
    "doubled references": chain(25, lambda ref: {"allOf": [ref, ref]}),
    "nested repeats": {"type": "string", "pattern": "(a+)+b"},
    "large repeats": {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"},
    "all patterns": {"allOf": [{"pattern": f".{{{i}}}a.*b{i}"} for i in range(12)]},
    "a loop": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    "a wide loop": chain(9, lambda ref: {"anyOf": [ref, {"$ref": "#/$defs/d0"}]}),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_schema_is_compiled_soon_or_refused(compiler, name):
    started_s = time.perf_counter()
    try:
        grammar = compiler.compile(source_of(StructuredOutputsParams(json=COSTLY[name])))
    except InputError as error:
        assert "structured_outputs" in str(error)
    else:
        state = grammar.start()
        for _ in range(20):
            mask = Constraint(state, _request(), [EOS]).first()
            if not isinstance(mask, Mask):
                break
            word = int(mask.mask.nonzero()[0][0])
            bits = int(mask.mask[word]) & 0xFFFFFFFF
            state.advance(word * 32 + (bits & -bits).bit_length() - 1)
    assert time.perf_counter() - started_s < 2


def _request():
    return Request(
        request_id="a",
        prompt_token_ids=np.array([1], np.int32),
        max_tokens=9,
        stop_token_ids=(EOS,),
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"const": 2**53 + 1}, "const=9007199254740993 is beyond 2..53"),
        ({"enum": [{"a": [2**64]}]}, "enum=18446744073709551616 is beyond"),
        ({"maximum": 10**30}, "maximum=1000000000000000000000000000000 is beyond"),
        ({"const": "a\x01"}, "const=.* has a control character"),
        ({"properties": {"\x7f": {}}}, "properties=.* has a control character"),
        ({"required": ["\x00"]}, "required=.* has a control character"),
        ({"minLength": -1}, "minLength=-1 is not a whole number from 0"),
        ({"minLength": True}, "minLength=True is not a whole number"),
        ({"minimum": "3"}, "minimum=3 is not a number"),
        ({"type": "text"}, "type=text is not a type or a list of types"),
        ({"type": []}, "type=.. is not a type"),
        ({"required": "a"}, "required=a is not a list of texts"),
        ({"anyOf": []}, "anyOf=.. is not a list of schemas"),
        ({"anyOf": [3]}, "anyOf.0=3 is not a schema"),
        ({"properties": [1]}, "properties=.1. is not an object of schemas"),
        ({"properties": {"a": {"items": 3}}}, "json.properties.a.items=3 is not a schema"),
        ({"items": {"$id": "x"}}, "items.$id: an $id inside a schema".replace("$", r"\$")),
        ({"x-guidance": {"lenient": True}}, "the keyword x-guidance is not supported"),
        (False, "json=False allows nothing; give an object"),
    ],
)
def test_what_a_text_cannot_hold_exactly_is_refused_with_its_place(compiler, schema, message):
    text = json.dumps(schema)
    with pytest.raises(InputError, match=message):
        compiler.compile(source_of(StructuredOutputsParams(json=text)))


def test_true_allows_everything(compiler):
    compiler.compile(source_of(StructuredOutputsParams(json="true")))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"^(?:a|b)[^\]x-]+\/\d{2}$", None),
        ("^[&-]$", None),
        ("[a-z&&[^b]]", "&&"),
        ("[a--b]", "--"),
        ("[[:alpha:]]", "[ within [ ]"),
        ("(?i)a", "(?i)"),
        ("(?x-u:a)", "(?x-u:"),
        (r"\Aa", r"\A"),
        (r"\\A", None),
        (r"[(?i)]", None),
    ],
)
def test_what_two_dialects_read_in_two_ways_is_found(pattern, found):
    assert foreign_syntax(pattern) == found


def test_the_page_has_the_table_of_keywords():
    assert render_table() in (ROOT / "docs" / "structured.md").read_text()
