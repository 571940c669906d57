"""Schemas with parts exchanged, lost and misspelt: refused, or compiled and then enforced."""

import json
import random
from functools import partial

import jsonschema
import numpy as np
import pytest
from fake_model import EOS, VOCAB, make_tokenizer
from json_values import SCALARS, neighbours, validator
from make_schemas import make_schemas

from tapeout import StructuredOutputsParams
from tapeout.errors import InputError
from tapeout.runtime.grammars.base import GrammarError
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.sources import source_of
from tapeout.runtime.tokenizer import Tokenizer

SCHEMAS = [entry["schema"] for entry in make_schemas()]
NAMES = sorted({name for schema in SCHEMAS for name in schema})
JUNK = [None, True, 0, -1, 1.5, 2**53, 2**70, "", "^a", "(", "#", "#/$defs/n", "\x00", "\ud800"]
JUNK += [[], {}, ["string"], {"type": "integer"}, [{}], {"$ref": "#"}, 1e-320, "date", "object"]
MAX_TOKENS = 150


def mutated(value, rng):
    """About one part in ten is another."""
    if rng.random() < 0.08:
        return rng.choice(JUNK)
    if isinstance(value, list):
        return [mutated(part, rng) for part in value]
    if not isinstance(value, dict):
        return value
    parts = {
        name if rng.random() < 0.95 else rng.choice(NAMES): mutated(part, rng)
        for name, part in value.items()
        if rng.random() < 0.96
    }
    more = {rng.choice(NAMES): rng.choice(JUNK + SCHEMAS)} if rng.random() < 0.1 else {}
    return parts | more


class Walker:
    """Says anything that a grammar allows, and comes to an end where it can."""

    def __init__(self, folder):
        make_tokenizer().save(str(folder / "tokenizer.json"))
        self.tokenizer = Tokenizer(folder)
        self.compiler = GrammarCompiler(folder, VOCAB, [EOS])
        self._closing = {self.tokenizer.encode(c, add_special_tokens=False)[0] for c in '"}]'}

    def text(self, grammar, rng):
        """None if it comes to no end."""
        state, said = grammar.start(), []
        while len(said) < MAX_TOKENS:
            mask = state.allowed().view(np.uint8)
            allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist()
            if EOS in allowed and (len(said) > 20 or len(allowed) == 1 or rng.random() < 0.5):
                return self.tokenizer.decode(said, skip_special_tokens=False)
            closing = [token_id for token_id in allowed if token_id in self._closing]
            hurries = closing and len(said) > 12 and rng.random() < 0.7
            said.append(rng.choice(closing if hurries else [t for t in allowed if t != EOS]))
            state.advance(said[-1])
        return None

    def accepts(self, grammar, value):
        """Whether the value's text is within the grammar."""
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        state = grammar.start()
        token_ids = self.tokenizer.encode(text, add_special_tokens=False)
        return state._matcher.consume_tokens(token_ids) and state.is_complete


def is_or_may_be_valid(checker, value):
    """The validator goes round in references that the grammar knows to lead nowhere."""
    try:
        return checker.is_valid(value)
    except RecursionError:
        return True


def hold(count, seed, folder):
    """Tries `count` schemas; gives how many were compiled, and values that were checked."""
    rng, walker, num_compiled, num_checked = random.Random(seed), Walker(folder), 0, 0
    for _ in range(count):
        schema = mutated(rng.choice(SCHEMAS), rng)
        try:
            asked = StructuredOutputsParams(json=schema, disable_any_whitespace=True)
            grammar = walker.compiler.compile(source_of(asked))
            jsonschema.Draft202012Validator.check_schema(schema)
            text = walker.text(grammar, rng)
            matches = partial(is_or_may_be_valid, validator(schema))
            values = [] if text is None else [json.loads(text)]
            assert all(map(matches, values)), (schema, text)
        except (InputError, GrammarError, jsonschema.SchemaError):
            continue
        num_compiled += 1
        for near in [*SCALARS, *(near for value in values for near in neighbours(value, rng))]:
            if not matches(near):
                num_checked += 1
                assert not walker.accepts(grammar, near), (schema, near)
    return num_compiled, num_checked


def test_what_is_compiled_holds_and_what_is_not_is_refused(tmp_path):
    num_compiled, num_checked = hold(600, 1, tmp_path)
    assert num_compiled > 100 and num_checked > 5000


@pytest.mark.slow
def test_many_more_mutated_schemas_hold(tmp_path):
    assert hold(8_000, 2, tmp_path)[1] > 10**5
