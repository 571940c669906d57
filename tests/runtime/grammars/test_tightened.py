from datetime import date

import pytest
from fake_model import EOS, VOCAB, make_tokenizer

from tapeout import StructuredOutputsParams
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.sources import source_of
from tapeout.runtime.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """Whether a schema allows a text."""
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    compiler, tokenizer = GrammarCompiler(folder, VOCAB, [EOS]), Tokenizer(folder)

    def held(schema, text):
        state = compiler.compile(source_of(StructuredOutputsParams(json=schema))).start()
        token_ids = tokenizer.encode(text, add_special_tokens=False)
        return state._matcher.consume_tokens(token_ids) and state.is_complete

    return held


def is_day(text):
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def test_the_days_that_are_allowed_are_those_of_the_calendar(held):
    day_of, time_of = ({"type": "string", "format": kind} for kind in ("date", "date-time"))
    years = [1, 4, 96, 100, 400, 1900, 1996, 2000, 2023, 2024, 2100, 5710, 9996, 9999]
    for year in years:
        for day in ("02-28", "02-29", "02-30", "04-30", "04-31", "12-31", "13-01", "01-00"):
            text = f"{year:04}-{day}"
            assert held(day_of, f'"{text}"') == is_day(text), text
            assert held(time_of, f'"{text}T10:00:00Z"') == is_day(text), text


def test_a_pattern_of_the_schema_holds_too(tmp_path):
    schema = {"type": "string", "format": "date", "pattern": "^2023", "allOf": [{"minLength": 3}]}
    source = source_of(StructuredOutputsParams(json=schema))
    assert "^2023" in source and "minLength" in source


@pytest.mark.parametrize(
    ("bounds", "right", "wrong"),
    [
        ({"exclusiveMaximum": 1}, ["0.5", "-3", "0.999999"], ["1", "0.99999999999999999999"]),
        ({"exclusiveMinimum": 0}, ["0.5", "100000", "0.0001"], ["0", "-1", "0." + "0" * 400 + "1"]),
        ({"exclusiveMaximum": 0}, ["-0.5"], ["0", "1", "-0." + "0" * 400 + "1"]),
        ({"exclusiveMinimum": 2, "minimum": 1, "maximum": 3}, ["2.5", "3"], ["2", "1.5", "3.1"]),
    ],
)
def test_what_is_read_as_an_exclusive_bound_is_not_allowed(held, bounds, right, wrong):
    assert [text for text in right if not held({"type": "number", **bounds}, text)] == []
    assert [text for text in wrong if held({"type": "number", **bounds}, text)] == []
