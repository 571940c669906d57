"""What an answer is held to, by what a request asks for all in all."""

from types import SimpleNamespace

import pytest

from tapeout import SamplingParams
from tapeout import StructuredOutputsParams as Structured
from tapeout.runtime.intake import RequestOptions
from tapeout.serve.api_errors import ApiError
from tapeout.serve.parsers.registry import call_format
from tapeout.serve.schemas.tools import Function, Tool
from tapeout.serve.tool_grammar import GrammarWriter
from tapeout.serve.turn import Conversation, constraint

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
MODEL = SimpleNamespace(
    call_format=call_format("hermes"), grammar_writer=GrammarWriter({"<think>": 7}.get)
)
THINKER = SimpleNamespace(
    call_format=call_format("hermes"),
    grammar_writer=GrammarWriter({"<think>": 7, "</think>": 8}.get),
)


def tool(strict=None):
    return Tool(type="function", function=Function(name="f", parameters=SCHEMA, strict=strict))


def held(model=MODEL, structured=None, is_open=None, **fields):
    params = SamplingParams(structured_outputs=structured)
    asked = Conversation(messages=[], params=params, options=RequestOptions(), **fields)
    return constraint(model, asked, is_open)


@pytest.mark.parametrize("structured", [None, Structured(json=SCHEMA), Structured(regex="a+")])
def test_without_tools_and_thoughts_it_is_what_was_asked(structured):
    assert held(structured=structured) is structured


def test_tools_that_are_not_strict_leave_the_model_free():
    assert held(tools=[tool()]) is None


def test_strict_tools_hold_calls_and_leave_text_free():
    params = held(tools=[tool(strict=True)])
    assert "TEXT (calls TEXT)?" in params.grammar
    assert params.schemas == {"arguments_0": SCHEMA}


def test_a_call_that_must_come_goes_before_a_format_of_the_answer():
    params = held(tools=[tool()], must_call=True, structured=Structured(json=SCHEMA))
    assert "start:  (calls)" in params.grammar and "@answer" not in params.grammar.split("start")[1]


def test_a_format_with_tools_is_a_choice_between_the_two():
    for structured in (Structured(json=SCHEMA), Structured(json_object=True)):
        params = held(tools=[tool()], structured=structured)
        assert "(calls | @answer)" in params.grammar
        assert params.schemas["answer"] == structured.schema


def test_what_is_no_json_cannot_be_had_with_tools():
    with pytest.raises(ApiError, match="structured_outputs.regex cannot be had with tools"):
        held(tools=[tool()], structured=Structured(regex="a+"))


@pytest.mark.parametrize("is_open", [False, True])
def test_thoughts_may_come_before_json(is_open):
    params = held(THINKER, structured=Structured(json=SCHEMA), is_open=is_open)
    wanted = r"(THOUGHTS <[8]> /\s*/)" if is_open else r"(<[7]> THOUGHTS <[8]> /\s*/)?"
    assert f"start: {wanted} (@answer)" in params.grammar


def test_other_constraints_leave_no_room_for_thoughts():
    structured = Structured(regex="a+")
    assert held(THINKER, structured=structured, is_open=False) is structured


def test_a_format_in_which_calls_cannot_be_asked_for_refuses_it():
    model = SimpleNamespace(call_format=call_format("harmony"), grammar_writer=None)
    assert held(model, tools=[tool()]) is None
    both = {"tools": [tool()], "structured": Structured(json=SCHEMA)}
    must = {"tools": [tool()], "must_call": True}
    for fields in (must, both, {"tools": [tool(strict=True)]}):
        with pytest.raises(ApiError, match="calls cannot be held to anything"):
            held(model, **fields)


def test_only_one_call_may_be_wanted():
    assert "(call_0)" not in held(tools=[tool(strict=True)], max_calls=1).grammar
    assert '("\\n" call)*' not in held(tools=[tool(strict=True)], max_calls=1).grammar
    assert '("\\n" call)*' in held(tools=[tool(strict=True)]).grammar
