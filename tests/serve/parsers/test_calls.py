"""Tool calls of every format: found, told as they come, and never an exception."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsed_pieces import joined

from tapeout.serve.parsers.base import CallArguments, CallBegins, Content
from tapeout.serve.parsers.calls import CallParser
from tapeout.serve.parsers.registry import call_format, detect_call_format

FORMATS = ["hermes", "llama3", "mistral"]
TOOLS = ["get_weather", "set_timer"]
OSLO, TIMER = '{"city": "Oslo"}', '{"minutes": 5, "label": "tea } \\" </tool_call>"}'


def hermes(name, arguments):
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def llama3(name, arguments):
    return f'{{"name": "{name}", "parameters": {arguments}}}'


def mistral(name, arguments):
    return f'[TOOL_CALLS][{{"name": "{name}", "arguments": {arguments}}}]'


WRITTEN = {"hermes": hermes, "llama3": llama3, "mistral": mistral}


def parsed(name, *chunks, tools=TOOLS):
    parser = CallParser(call_format(name), tools)
    return joined([piece for chunk in chunks for piece in parser.feed(chunk)] + parser.finish())


def calls_of(pieces):
    """Names with their arguments, and the content."""
    calls, content = [], ""
    for piece in pieces:
        if isinstance(piece, CallBegins):
            calls.append([piece.name, ""])
        elif isinstance(piece, CallArguments):
            calls[-1][1] += piece.text
        else:
            content += piece.text
    return [tuple(call) for call in calls], content


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_is_found(name):
    assert parsed(name, WRITTEN[name]("get_weather", OSLO)) == [
        CallBegins("get_weather"),
        CallArguments(OSLO),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_braces_quotes_and_markers_within_texts_of_arguments_end_nothing(name):
    [call], content = calls_of(parsed(name, WRITTEN[name]("set_timer", TIMER)))
    assert call == ("set_timer", TIMER) and content == ""
    assert json.loads(call[1])["label"] == 'tea } " </tool_call>'


SEVERAL = {
    "hermes": hermes("get_weather", OSLO) + "\n" + hermes("set_timer", TIMER),
    "llama3": llama3("get_weather", OSLO) + "; " + llama3("set_timer", TIMER),
    "mistral": mistral("get_weather", OSLO)[:-1] + ", " + mistral("set_timer", TIMER)[13:],
}
BARE_MISTRAL = f"[TOOL_CALLS]get_weather[ARGS]{OSLO}[TOOL_CALLS]set_timer{TIMER}"


@pytest.mark.parametrize("name", FORMATS)
def test_several_calls_are_found(name):
    texts = [SEVERAL[name]] + ([BARE_MISTRAL] if name == "mistral" else [])
    for text in texts:
        calls, content = calls_of(parsed(name, text))
        assert calls == [("get_weather", OSLO), ("set_timer", TIMER)] and content == ""


@pytest.mark.parametrize("name", ["hermes", "mistral"])
def test_text_around_calls_is_content_without_the_spaces_between(name):
    call = WRITTEN[name]("get_weather", OSLO)
    pieces = parsed(name, f"Let me see.\n\n{call}\n")
    assert pieces[0] == Content("Let me see.")
    assert calls_of(pieces) == ([("get_weather", OSLO)], "Let me see.")


def test_a_python_tag_before_a_call_is_no_content():
    text = "<|python_tag|>" + llama3("get_weather", OSLO)
    assert calls_of(parsed("llama3", text)) == ([("get_weather", OSLO)], "")


NO_CALLS = {
    "hermes": [
        "just text",
        "a < b <tool_cal",
        "<tool_call>",
        "<tool_call>\n{",
        '<tool_call>{"name": "get_weather"}</tool_call>',
        '<tool_call>{"name": "get_weather", "arguments": "x"}</tool_call>',
        hermes("unknown_tool", OSLO),
        "<tool_call>" + "x" * 2000,
        "<tool_call>" * 50,
    ],
    "llama3": [
        "just text",
        "{",
        '{"answer": 42}',
        '{"name": "get_weather"}',
        llama3("unknown_tool", OSLO),
        "Here: " + llama3("get_weather", OSLO),
        "<|python_tag|>print(1)",
        "<|python_tag",
    ],
    "mistral": [
        "just text",
        "[TOOL_CALLS]",
        "[TOOL_CALLS]{}",
        mistral("unknown_tool", OSLO),
        "[TO",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in NO_CALLS.items() for t in ts])
def test_half_finished_and_malformed_calls_are_content_as_they_stand(name, text):
    assert parsed(name, text) == [Content(text)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_that_breaks_off_in_its_arguments_keeps_what_was_told(name):
    text = WRITTEN[name]("get_weather", OSLO)
    cut = text[: text.index("Oslo") + 2]
    assert calls_of(parsed(name, cut)) == ([("get_weather", '{"city": "Os')], "")


def test_arguments_that_no_brace_ends_go_up_to_the_marker():
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": 5</tool_call> and so on'
    assert calls_of(parsed("hermes", text)) == ([("get_weather", '{"city": 5')], " and so on")


@pytest.mark.parametrize("name", FORMATS)
def test_name_and_arguments_are_told_as_soon_as_they_are_certain(name):
    parser = CallParser(call_format(name), TOOLS)
    text = WRITTEN[name]("get_weather", OSLO)
    start = text.index(OSLO)
    told = [parser.feed(character) for character in text]
    assert told[start] == [CallBegins("get_weather"), CallArguments("{")]
    assert told[start + 3] == [CallArguments("i")]


FRAGMENTS = [
    *(WRITTEN[name]("get_weather", OSLO) for name in FORMATS),
    *("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "[ARGS]", "get_weather"),
    *('{"name": "set_timer", ', '"arguments": {', '"parameters": {', "}", "]", '"', "\\", ";", ","),
    *("Hello", " ", "\n", "{", "[", "<", TIMER, "é😀", "set_timer{}"),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join)


@pytest.mark.parametrize("name", FORMATS)
@given(text=TEXTS, seed=st.integers(0, 2**32))
def test_any_chunking_gives_the_same_pieces_joined(name, text, seed):
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(12)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = parsed(name, text)
    assert parsed(name, *chunks) == whole == parsed(name, *text)


@given(text=st.text(max_size=80))
@pytest.mark.parametrize("name", FORMATS)
def test_what_holds_no_marker_is_content(name, text):
    if name == "llama3" and text.lstrip()[:1] == "{":
        return
    assert calls_of(parsed(name, text)) == ([], text)


def test_every_format_is_found_by_what_its_templates_show():
    for name in FORMATS:
        assert detect_call_format(f"... {call_format(name).marks[0]} ...") is call_format(name)
    assert detect_call_format("no tools here") is None and detect_call_format(None) is None
