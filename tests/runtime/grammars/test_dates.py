from datetime import date

import pytest
from fake_model import EOS, VOCAB, make_tokenizer

from tapeout import StructuredOutputsParams
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.sources import source_of
from tapeout.runtime.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def allows(tmp_path_factory):
    """Whether a text is a date or a time of one."""
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save(str(folder / "tokenizer.json"))
    compiler, tokenizer = GrammarCompiler(folder, VOCAB, [EOS]), Tokenizer(folder)

    def allows(text, kind):
        schema = {"type": "string", "format": kind}
        state = compiler.compile(source_of(StructuredOutputsParams(json=schema))).start()
        token_ids = tokenizer.encode(f'"{text}"', add_special_tokens=False)
        return state._matcher.consume_tokens(token_ids) and state.is_complete

    return allows


def is_day(text):
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def test_the_days_that_are_allowed_are_those_of_the_calendar(allows):
    years = [1, 4, 96, 100, 400, 1900, 1996, 2000, 2023, 2024, 2100, 5710, 9996, 9999]
    for year in years:
        for day in ("02-28", "02-29", "02-30", "04-30", "04-31", "12-31", "13-01", "01-00"):
            text = f"{year:04}-{day}"
            assert allows(text, "date") == is_day(text), text
            assert allows(f"{text}T10:00:00Z", "date-time") == is_day(text), text


def test_a_pattern_of_the_schema_holds_too(tmp_path):
    schema = {"type": "string", "format": "date", "pattern": "^2023", "allOf": [{"minLength": 3}]}
    source = source_of(StructuredOutputsParams(json=schema))
    assert "^2023" in source and "minLength" in source
