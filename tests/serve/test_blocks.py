from tapeout.serve.answer_parser import AnswerParser
from tapeout.serve.blocks import Blocks
from tapeout.serve.parsers.base import CallArguments, CallBegins, Content, Reasoning
from tapeout.serve.parsers.calls import CallParser
from tapeout.serve.parsers.registry import call_format
from tapeout.serve.parsers.thinking import ThinkingParser

CALLS = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


def parser_of(max_calls=None):
    calls = CallParser(call_format("hermes"), ["f"])
    return AnswerParser(ThinkingParser(is_open=False), calls, max_calls)


def joined(pieces):
    """The pieces with neighbours of one kind as one."""
    told = []
    for piece in pieces:
        if told and type(told[-1]) is type(piece) and not isinstance(piece, CallBegins):
            told[-1] = type(piece)(told[-1].text + piece.text)
        else:
            told.append(piece)
    return told


def test_an_answer_is_cut_alike_at_once_and_letter_by_letter():
    text = f"<think>hm <tool_call></think>So: {CALLS}\n{CALLS}"
    arguments = CallArguments('{"a": 1}')
    wanted = [Reasoning("hm <tool_call>"), Content("So:")]
    wanted += [CallBegins("f"), arguments, CallBegins("f"), arguments]
    assert joined(parser_of().feed(text, is_last=True)) == wanted
    parser = parser_of()
    pieces = [p for i, c in enumerate(text) for p in parser.feed(c, i == len(text) - 1)]
    assert joined(pieces) == wanted and parser.num_calls == 2


def test_calls_beyond_those_that_are_wanted_are_left_out():
    told = parser_of(max_calls=1).feed(f"{CALLS}\n{CALLS}", is_last=True)
    assert joined(told) == [CallBegins("f"), CallArguments('{"a": 1}')]


def test_without_parsers_all_is_content():
    assert AnswerParser(None, None, None).feed(CALLS, is_last=True) == [Content(CALLS)]
    assert AnswerParser(None, None, None).feed("", is_last=True) == []


def test_a_block_begins_where_the_kind_changes_and_with_every_call():
    blocks = Blocks()
    call = [CallBegins("f"), CallArguments("{"), CallArguments("}")]
    pieces = [Reasoning("a"), Reasoning("b"), Content("c"), *call, *call, Content("d")]
    events = blocks.add(pieces) + blocks.end()
    assert [(b.kind, b.text) for b in blocks.all] == [
        ("thoughts", "ab"),
        ("text", "c"),
        ("call", "{}"),
        ("call", "{}"),
        ("text", "d"),
    ]
    for place, block in enumerate(blocks.all):
        own = [event for event in events if event.place == place]
        assert own[0].what == "begin" and own[-1].what == "end"
        assert "".join(event.text for event in own) == block.text
    assert blocks.end() == []
