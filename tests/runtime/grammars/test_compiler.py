import json
import sys
import time

import numpy as np
import pytest
from fake_model import EOS, VOCAB, make_tokenizer

from tapeout import StructuredOutputsParams
from tapeout.errors import InputError
from tapeout.runtime.grammars import guidance
from tapeout.runtime.grammars.base import GrammarError
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.sources import source_of
from tapeout.runtime.tokenizer import Tokenizer

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


CHOICE = 'start: "a"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer(folder)


@pytest.fixture(scope="module")
def compiler(folder):
    return GrammarCompiler(folder, VOCAB, [EOS])


def allowed(state):
    mask = state.allowed()
    assert mask.dtype == np.int32 and len(mask) == -(-VOCAB // 32)
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


def accepts(compiler, tokenizer, text, **fields):
    """Whether a text, token by token, is within the masks and may end where it does."""
    state = compiler.compile(source_of(StructuredOutputsParams(**fields))).start()
    for token_id in tokenizer.encode(text, add_special_tokens=False):
        if token_id not in allowed(state):
            return False
        state.advance(token_id)
    return state.is_complete and EOS in allowed(state)


TEXTS = {
    "json": (SCHEMA, ['{"a": 12}', '{ "a":-3 }'], ["{}", '{"a": "1"}', '{"a": 1, "b": 2}', " {}"]),
    "regex": (r"[a-c]{2}/\d+\n", ["ab/12\n"], ["ab/12", "xab/1\n", "ab/1\n "]),
    "choice": (
        ["yes", 'a "b"\n\\', "é😀\x7f", "yes!"],
        ["yes", "yes!", 'a "b"\n\\', "é😀\x7f"],
        ["ye", "no", "yes?"],
    ),
    "grammar": ('start: "a" start "b" | "c"', ["c", "acb", "aacbb"], ["", "ac", "acbb"]),
    "json_object": (True, ["{}", '{"a": [1, {"b": null}]}'], ["[]", "1", '{"a": }']),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_what_matches_is_allowed_and_nothing_else(compiler, tokenizer, kind):
    constraint, right, wrong = TEXTS[kind]
    for text in right:
        assert accepts(compiler, tokenizer, text, **{kind: constraint}), text
    for text in wrong:
        assert not accepts(compiler, tokenizer, text, **{kind: constraint}), text


def test_a_grammar_may_be_written_in_gbnf(compiler, tokenizer):
    gbnf = 'root ::= "a" root "b" | [0-9]'
    assert accepts(compiler, tokenizer, "aa7bb", grammar=gbnf)
    assert not accepts(compiler, tokenizer, "aa7b", grammar=gbnf)


def test_a_schema_may_be_given_as_text(compiler, tokenizer):
    assert accepts(compiler, tokenizer, '{"a": 1}', json=json.dumps(SCHEMA))


def test_spaces_in_json_are_bounded_and_may_be_forbidden(compiler, tokenizer):
    def takes(text, **fields):
        return accepts(compiler, tokenizer, text, json=SCHEMA, **fields)

    wide = '{"a":%s1}'
    assert takes(wide % " ") and takes(wide % ("\n" + " " * 40))
    assert not takes(wide % "  ") and not takes(wide % "\n\n")
    assert takes(json.dumps({"a": 1}, indent=4))
    assert takes(wide % "", disable_any_whitespace=True)
    assert not takes(wide % " ", disable_any_whitespace=True)
    assert takes(wide % "  ", whitespace_pattern="[ ]{2}")
    assert not takes(wide % "\n", whitespace_pattern="[ ]{2}")


def test_behind_the_end_nothing_is_allowed(compiler):
    state = compiler.compile(source_of(StructuredOutputsParams(choice=["a"]))).start()
    state.advance(next(iter(allowed(state))))
    assert allowed(state) == {EOS}
    state.advance(EOS)
    assert allowed(state) == set() and state.is_complete


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"json": "{"}, "json=. is no JSON"),
        ({"json": '{"minimum": NaN}'}, "NaN is no number of JSON"),
        ({"json": {"a": object()}}, "is no JSON"),
        ({"json": {"description": "a" * 300_000}}, "has 300019 characters; give at most"),
        ({"json": "[" * 100_000}, "is no JSON"),
        ({"regex": "(a"}, "unclosed group"),
        ({"regex": "(?=a)b"}, "look-around"),
        ({"regex": r"(a)\1"}, "backreference"),
        ({"grammar": "start: b"}, "unknown name"),
        ({"grammar": "root ::= b"}, "cannot be read"),
        ({"grammar": 'start: %json {"not": {}}'}, "%json; give the schema as json"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_the_reason(compiler, fields, message):
    with pytest.raises(InputError, match=message):
        compiler.compile(source_of(StructuredOutputsParams(**fields)))


@pytest.mark.parametrize(
    "regex",
    [
        *("(a+)+b", "(a|aa)*c", "a{1,100000}", r"[\s\S]{5000}", "(.{0,500}){500}"),
        *("(x+x+)+y" * 500, ".*" * 2000, "a?" * 2000, "(" * 2000, "(a{1,999}){1,999}"),
        *("a" * 4096, "a" * 200_000, "(a(b" * 50 + ")?)?" * 50),
    ],
)
def test_a_hostile_regex_is_refused_or_followed_within_limits(compiler, regex):
    assert is_soon_decided(compiler, regex=regex)


DEEP = 1900
HOSTILE = {
    "brackets": "start: " + "(" * 30_000 + '"a"' + ")" * 30_000,
    "gbnf brackets": "root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000,
    "rules in rules": "\n".join(f'r{i}: "a" r{i + 1} | "b"' for i in range(DEEP))
    + f'\nr{DEEP}: "c"\nstart: r0',
    "terms in terms": "\n".join(f'T{i}: "a" T{i + 1} | "b"' for i in range(DEEP))
    + f'\nT{DEEP}: "c"\nstart: T0',
    "too many rules": "\n".join(f'r{i}: "a"' for i in range(5000)),
    "a long sequence": "start: " + '"a" ' * 16_000,
    "itself": "root ::= root",
    "itself twice": 'start: start start | "a" |',
    "ambiguous": 'start: a a a a a\na: a a | "x" |',
    "no such token": "start: <[99999]>",
    "no such rule": "start: @missing",
    "repeats": 'start: ("a"{1,100000}){1,100000}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_grammar_is_refused_or_followed_within_limits(compiler, name):
    assert is_soon_decided(compiler, grammar=HOSTILE[name])


def is_soon_decided(compiler, **fields):
    """Compiles what may be refused, and follows it for some tokens if it is not."""
    started_s = time.perf_counter()
    try:
        state = compiler.compile(source_of(StructuredOutputsParams(**fields))).start()
        for _ in range(20):
            if not (ids := allowed(state) - {EOS}):
                break
            state.advance(min(ids))
    except (InputError, GrammarError):
        pass
    return time.perf_counter() - started_s < 4


def test_a_grammar_whose_states_have_reached_a_limit_is_compiled_anew(compiler):
    source = source_of(StructuredOutputsParams(choice=["again"]))
    first = compiler.compile(source)
    with pytest.raises(GrammarError):
        first.start().advance(EOS)
    assert first.is_spent and compiler.compile(source) is not first


def test_what_takes_too_long_is_given_up(compiler, monkeypatch):
    monkeypatch.setattr(guidance, "_COMPILE_S", 0.05)
    slow = source_of(StructuredOutputsParams(regex=".*" * 2000))
    with pytest.raises(InputError, match=r"takes longer than 0.05 s to compile; make it simpler"):
        compiler.compile(slow)


def test_grammars_that_come_again_are_kept_and_others_forgotten(compiler):
    first = compiler.compile(source_of(StructuredOutputsParams(choice=["kept"])))
    assert compiler.compile(source_of(StructuredOutputsParams(choice=["kept"]))) is first
    for i in range(40):
        compiler.compile(source_of(StructuredOutputsParams(choice=[f"other {i}"])))
    assert compiler.compile(source_of(StructuredOutputsParams(choice=["kept"]))) is not first


def test_without_a_tokenizer_or_the_library_the_reason_is_told(folder, monkeypatch):
    with pytest.raises(InputError, match="structured_outputs needs a tokenizer"):
        GrammarCompiler(None, VOCAB, [EOS]).compile(CHOICE)
    monkeypatch.setitem(sys.modules, "llguidance", None)
    lacking = r"needs llguidance; install tapeout\[structured\]"
    with pytest.raises(InputError, match=lacking):
        GrammarCompiler(folder, VOCAB, [EOS]).compile(CHOICE)
    with pytest.raises(InputError, match=lacking):
        source_of(StructuredOutputsParams(regex="a"))


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(folder):
    with pytest.raises(InputError, match="cannot be used with this tokenizer"):
        GrammarCompiler(folder, 100, [EOS]).compile(CHOICE)


def test_a_model_without_an_end_token_is_refused(folder):
    with pytest.raises(InputError, match="needs a token that ends the sequence"):
        GrammarCompiler(folder, VOCAB, []).compile(CHOICE)


def test_a_grammar_may_hold_json_of_schemas(compiler, tokenizer):
    fields = {"grammar": 'start: "<" @point ">"', "schemas": {"point": SCHEMA}}
    assert accepts(compiler, tokenizer, '<{"a": 1}>', **fields)
    assert not accepts(compiler, tokenizer, '<{"a": "x"}>', **fields)
    assert not accepts(compiler, tokenizer, '<{"a":  1}>', **fields)
    with pytest.raises(InputError, match=r"schemas\.point\.items: the keyword|schemas.point.not: "):
        source_of(StructuredOutputsParams(grammar="start: @point", schemas={"point": {"not": {}}}))


@pytest.mark.parametrize(
    "fields",
    [
        {"schemas": {"A": {}}},
        {"schemas": {"a": 1}},
        {"schemas": {"a": {}}, "grammar": None, "regex": "a"},
    ],
)
def test_schemas_are_a_grammars(fields):
    with pytest.raises(InputError, match="schemas=.* is not a dict of schemas"):
        StructuredOutputsParams(**{"grammar": "start: @a"} | fields)
