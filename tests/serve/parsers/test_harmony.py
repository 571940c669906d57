import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsed_pieces import joined

from tapeout.serve.parsers.base import CallArguments, CallBegins, Content, Reasoning
from tapeout.serve.parsers.harmony import HarmonyParser
from tapeout.serve.parsers.registry import call_format, calls_parser, detect_call_format

ANALYSIS = "<|channel|>analysis<|message|>The user asks.<|end|>"
CALL = (
    "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json"
    '<|message|>{"city": "Oslo"}<|call|>'
)
OTHER_CALL = CALL.replace("<|channel|>commentary to=functions.get_weather <|constrain|>json", "")
OTHER_CALL = OTHER_CALL.replace(
    "assistant", "assistant to=functions.get_weather<|channel|>commentary json"
)
FINAL = "<|start|>assistant<|channel|>final<|message|>It is sunny.<|return|>"


def parsed(*chunks):
    parser = HarmonyParser(["get_weather"])
    return joined([piece for chunk in chunks for piece in parser.feed(chunk)] + parser.finish())


@pytest.mark.parametrize("call", [CALL, OTHER_CALL])
def test_thoughts_calls_and_text_are_told_apart(call):
    assert parsed(ANALYSIS + call) == [
        Reasoning("The user asks."),
        CallBegins("get_weather"),
        CallArguments('{"city": "Oslo"}'),
    ]
    assert parsed(ANALYSIS + FINAL) == [Reasoning("The user asks."), Content("It is sunny.")]


def test_what_is_said_before_a_call_is_content():
    preamble = "<|channel|>commentary<|message|>Let me see.<|end|>"
    assert parsed(preamble + CALL)[0] == Content("Let me see.")


@pytest.mark.parametrize(
    "text",
    [
        "no header at all",
        "<|chan",
        "<|channel|>analysis",
        "<|channel|>" + "x" * 2000,
        "<|start|>" * 50,
        '{"a": 1}',
    ],
)
def test_what_has_no_whole_header_is_content_as_it_stands(text):
    assert parsed(text) == [Content(text)]


def test_a_call_of_no_tool_is_content():
    text = CALL.replace("get_weather", "get_rain")
    assert parsed(text) == [Content(text.removesuffix("<|call|>"))]


def test_what_breaks_off_keeps_what_was_told():
    assert parsed(CALL[: CALL.index("Oslo")]) == [
        CallBegins("get_weather"),
        CallArguments('{"city": "'),
    ]
    assert parsed(ANALYSIS[:40]) == [Reasoning("The user a"[: 40 - 30])]


FRAGMENTS = [ANALYSIS, CALL, FINAL, "<|channel|>", "<|start|>", "<|message|>", "<|end|>", "<|"]
FRAGMENTS += ["final", "assistant", " to=functions.get_weather", "text", " ", "\n", "{", "<"]


@given(
    text=st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join), seed=st.integers(0, 2**32)
)
def test_any_chunking_gives_the_same_pieces_joined(text, seed):
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(12)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert parsed(*chunks) == parsed(text) == parsed(*text)


def test_it_is_found_by_its_template_and_reads_answers_without_tools():
    found = detect_call_format("... <|channel|>analysis ... <tool_call> ...")
    assert found is call_format("harmony")
    assert isinstance(calls_parser(found, []), HarmonyParser)
    assert calls_parser(call_format("hermes"), []) is None and calls_parser(None, ["f"]) is None
