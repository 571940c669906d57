"""What a model is held to where it has to call, in every format, with thoughts and without."""

import numpy as np
import pytest
from fake_model import EOS, make_tokenizer

from tapeout.errors import InputError
from tapeout.runtime.grammars.compiler import GrammarCompiler
from tapeout.runtime.grammars.sources import source_of
from tapeout.runtime.tokenizer import Tokenizer
from tapeout.serve.parsers.registry import call_format
from tapeout.serve.schemas.tools import Function
from tapeout.serve.tool_grammar import Calls, GrammarWriter

FORMATS = ["hermes", "llama3", "mistral"]
MARKERS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>"]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTIONS = [
    Function(name="get_weather", parameters=CITY, strict=True),
    Function(name="get_time"),
]
CALLS = {
    "hermes": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    "llama3": '{"name": "get_weather", "parameters": {"city": "Oslo"}}',
    "mistral": '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo"}}]',
}
TWO = {
    "hermes": CALLS["hermes"]
    + '\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
    "llama3": CALLS["llama3"] + '; {"name": "get_time", "parameters": {}}',
    "mistral": CALLS["mistral"][:-1] + ', {"name": "get_time", "arguments": {}}]',
}


class Model:
    """A tokenizer for which the markers are tokens of their own, or are not."""

    def __init__(self, folder, has_markers):
        self.has_markers, backend = has_markers, make_tokenizer()
        if has_markers:
            backend.add_tokens(MARKERS)
        backend.save(str(folder / "tokenizer.json"))
        self.tokenizer = Tokenizer(folder)
        self.compiler = GrammarCompiler(folder, self.tokenizer.vocab_size, [EOS])
        self.writer = GrammarWriter(self.tokenizer.token_id)

    def allows(self, params, text):
        """Whether the text, ended, is within the masks."""
        state = self.compiler.compile(source_of(params)).start()
        for token_id in [*self.tokenizer.encode(text, add_special_tokens=False), EOS]:
            mask = state.allowed().view(np.uint32)
            if not (mask[token_id // 32] >> np.uint32(token_id % 32)) & 1:
                return False
            state.advance(token_id)
        return True


@pytest.fixture(scope="module", params=[True, False], ids=["marker tokens", "marker texts"])
def model(request, tmp_path_factory):
    return Model(tmp_path_factory.mktemp("model"), request.param)


def use(name, **fields):
    return Calls(call_format(name), FUNCTIONS, **fields)


@pytest.mark.parametrize("name", FORMATS)
def test_where_it_must_call_it_does(model, name):
    params = model.writer.answer("", use(name, must_come=True), None)
    assert model.allows(params, CALLS[name]) and model.allows(params, TWO[name])
    for wrong in (
        "",
        "Hello",
        CALLS[name] + " Hello",
        CALLS[name].replace("Oslo", 'Oslo", "a": "'),
    ):
        assert wrong.startswith(CALLS[name][:3]) or not model.allows(params, wrong)
    assert not model.allows(params, CALLS[name].replace('"city"', '"town"'))
    assert not model.allows(params, CALLS[name].replace("get_weather", "get_rain"))
    assert not model.allows(params, CALLS[name] + " Hello")


@pytest.mark.parametrize("name", FORMATS)
def test_one_call_at_the_most_can_be_asked_for(model, name):
    params = model.writer.answer("", use(name, must_come=True, may_repeat=False), None)
    assert model.allows(params, CALLS[name]) and not model.allows(params, TWO[name])


@pytest.mark.parametrize("name", FORMATS)
def test_where_it_is_free_text_is_free_and_calls_are_held(model, name):
    params = model.writer.answer("", use(name), None)
    for right in ("", "Hello <b> [x] there", CALLS[name]):
        assert model.allows(params, right), right
    if model.has_markers:
        assert model.allows(params, TWO[name])
    assert not model.allows(params, CALLS[name].replace('"city"', '"town"'))


@pytest.mark.parametrize("name", FORMATS)
def test_a_schema_for_the_answer_leaves_calls_open(model, name):
    params = model.writer.answer("", use(name), {"type": "integer"})
    assert model.allows(params, "42") and model.allows(params, CALLS[name])
    assert not model.allows(params, "Hello")


@pytest.mark.parametrize("name", FORMATS)
def test_thoughts_go_before_and_are_free(model, name):
    if not model.has_markers:
        assert model.writer.thoughts(is_open=True) == ""
        return
    tools = use(name, must_come=True)
    closed = model.writer.answer(model.writer.thoughts(is_open=False), tools, None)
    opened = model.writer.answer(model.writer.thoughts(is_open=True), tools, None)
    assert model.allows(closed, f"<think>\nHm {{.\n</think>\n\n{CALLS[name]}")
    assert model.allows(closed, CALLS[name])
    assert model.allows(opened, f"Hm.\n</think>\n\n{CALLS[name]}")
    assert not model.allows(opened, CALLS[name])
    for params in (closed, opened):
        assert not model.allows(params, "Hm.</think>Hello")


def test_a_strict_schema_that_cannot_be_enforced_is_refused_and_a_loose_one_gives_way(model):
    def written(strict):
        function = Function(name="f", parameters={"not": {}}, strict=strict)
        tools = Calls(call_format("hermes"), [function], must_come=True)
        return model.writer.answer("", tools, None)

    with pytest.raises(InputError, match="tools.f.parameters.not: the keyword not"):
        written(True)
    call = '<tool_call>\n{"name": "f", "arguments": {"any": 1}}\n</tool_call>'
    assert model.allows(written(None), call)
