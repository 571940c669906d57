"""200 JSON schemas: each is enforced whole, or refused by the name of what is not."""

import json
import random
import time

import pytest
from json_values import SCALARS, constants, neighbours, validator
from make_schemas import FILE, NUM_SCHEMAS, make_schemas, text_of

from tapeout import LLM, SamplingParams, StructuredOutputsParams
from tapeout.errors import InputError
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.keywords import ANNOTATIONS, ENFORCED, REFUSED
from tapeout.runtime.grammars.sources import source_of
from tapeout.runtime.tokenizer import Tokenizer

SCHEMAS = {entry["name"]: entry["schema"] for entry in json.loads(FILE.read_text())}
EOS, VOCAB = 2, 2048
NUM_ANSWERS = 5
PROMPTS = ["Write some JSON.", "What is 3 + 4?", "Name a city."]


@pytest.fixture(scope="module")
def compiler(nano):
    return GrammarCompiler(nano, VOCAB, [EOS])


@pytest.fixture(scope="module")
def enforced(compiler):
    """The grammars of those schemas that are not refused, by name."""
    grammars = {}
    for name, schema in SCHEMAS.items():
        try:
            source = source_of(StructuredOutputsParams(json=schema, disable_any_whitespace=True))
            grammars[name] = compiler.compile(source)
        except InputError:
            continue
    return grammars


@pytest.fixture(scope="module")
def answers(nano, enforced):
    """What tapeout-nano says to each of them, and why it ended."""
    llm = LLM(nano, num_threads=2, max_model_len=512, max_num_seqs=64)
    asked = [(name, seed) for name in enforced for seed in range(NUM_ANSWERS)]
    params = [
        SamplingParams(
            structured_outputs=StructuredOutputsParams(
                json=SCHEMAS[name], disable_any_whitespace=seed > 0
            ),
            seed=seed,
            temperature=1.0,
            max_tokens=400,
        )
        for name, seed in asked
    ]
    prompts = [PROMPTS[seed % len(PROMPTS)] for _, seed in asked]
    outs = llm.generate(prompts, params, use_tqdm=False)
    return [(name, out.outputs[0]) for (name, _), out in zip(asked, outs, strict=True)]


def test_the_file_is_what_its_script_writes():
    made = make_schemas()
    assert FILE.read_text() == text_of(made)
    assert len(made) == NUM_SCHEMAS == len(SCHEMAS)
    text = FILE.read_text()
    assert [name for name in ENFORCED if f'"{name}"' not in text] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_compiled_at_once_or_refused_by_the_name_of_what_is_not_enforced(
    compiler, name
):
    started_s = time.perf_counter()
    try:
        compiler.compile(source_of(StructuredOutputsParams(json=SCHEMAS[name])))
    except InputError as error:
        told = str(error)
        is_empty = "Unsatisfiable schema" in told
        assert is_empty or any(word in told for word in _words(SCHEMAS[name])), told
    assert time.perf_counter() - started_s < 2


def test_most_of_what_can_be_held_is_held(enforced):
    """Only what the script made to be refused is."""
    refused = sorted(SCHEMAS.keys() - enforced.keys())
    assert not any(name.startswith("drawn") for name in refused) and len(refused) < 45


def test_every_answer_validates(answers, enforced):
    done = [(name, c) for name, c in answers if c.finish_reason == "stop"]
    wrong = [
        (name, completion.text)
        for name, completion in done
        if not validator(SCHEMAS[name]).is_valid(json.loads(completion.text))
    ]
    assert wrong == []
    assert {c.finish_reason for _, c in answers} <= {"stop", "length"}
    assert {name for name, _ in done} == set(enforced), "each is answered in full at least once"
    assert len(done) > 0.9 * len(answers)


def test_no_value_that_a_schema_forbids_gets_through(compiler, nano, enforced, answers):
    """Values near to right ones and to the schema's bounds, as the grammar sees their text."""
    tokenizer, rng, num_forbidden = Tokenizer(nano), random.Random(5), 0
    values = {name: [*SCALARS, *constants(SCHEMAS[name])] for name in enforced}
    for name, completion in answers:
        if completion.finish_reason == "stop":
            values[name] += neighbours(json.loads(completion.text), rng)
    for name in enforced:
        matches = validator(SCHEMAS[name]).is_valid
        texts = {json.dumps(v, separators=(",", ":"), ensure_ascii=False): v for v in values[name]}
        for text, value in texts.items():
            if not matches(value):
                num_forbidden += 1
                token_ids = tokenizer.encode(text, add_special_tokens=False)
                assert not _accepts(enforced[name], token_ids), (name, text)
    assert num_forbidden > 10_000


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_keyword_that_is_not_enforced_is_refused_by_name_wherever_it_is(compiler, name):
    for schema in ({name: {}}, {"items": {"anyOf": [{"properties": {"a": {name: 1}}}]}}):
        with pytest.raises(InputError, match=f"the keyword .?{name.strip('$')}"):
            source_of(StructuredOutputsParams(json=schema))


def test_no_keyword_is_two_things():
    assert not ENFORCED.keys() & ANNOTATIONS and not ENFORCED.keys() & REFUSED
    assert not ANNOTATIONS & REFUSED


def _words(schema):
    """Every keyword that is somewhere in a schema."""
    if isinstance(schema, list):
        return {word for part in schema for word in _words(part)}
    if isinstance(schema, dict):
        return {*schema, *_words(list(schema.values()))}
    return set()


def _accepts(grammar, token_ids):
    state = grammar.start()
    matcher = state._matcher
    return matcher.consume_tokens(token_ids) and matcher.is_accepting()
