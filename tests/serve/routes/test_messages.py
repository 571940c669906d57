import json
import re
from pathlib import Path

import anthropic
import httpx
import pytest

PROMPTS = Path(__file__).parents[3] / "examples" / "nano" / "prompts.json"
CALL = next(case for case in json.loads(PROMPTS.read_text()) if case["task"] == "tool_call")
TOOLS = [
    {
        "name": tool["function"]["name"],
        "description": tool["function"]["description"],
        "input_schema": tool["function"]["parameters"],
    }
    for tool in CALL["tools"]
]
QUESTION = [{"role": "user", "content": "What is 3 + 4?"}]


@pytest.fixture(scope="module")
def claude(server):
    with anthropic.Anthropic(base_url=server.url, api_key="-", max_retries=0) as client:
        yield client


def with_defaults(**fields):
    own = {"temperature": 0} | fields.pop("extra_body", {})
    return {"model": "nano", "messages": QUESTION, "max_tokens": 80, "extra_body": own} | fields


def ask(claude, **fields):
    return claude.messages.create(**with_defaults(**fields))


def test_a_message_is_answered(claude):
    answer = ask(claude)
    assert [block.text for block in answer.content] == ["3 + 4 = 7"]
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    usage = answer.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == 18 and usage.output_tokens == 10


def test_a_stream_is_the_answer_in_pieces(claude):
    with claude.messages.stream(**with_defaults()) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[0].text == "3 + 4 = 7" and final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 10
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1


def test_why_an_answer_ends_is_told(claude):
    assert ask(claude, max_tokens=3).stop_reason == "max_tokens"
    answer = ask(claude, stop_sequences=["= "])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "= ")
    assert answer.content[0].text == "3 + 4 "


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_tool_is_used_and_its_result_told(claude, is_stream):
    wanted = json.loads(re.search(r"\{.*\}", CALL["answer"], re.DOTALL)[0])
    fields = {"messages": CALL["messages"], "tools": TOOLS}
    if is_stream:
        with claude.messages.stream(**with_defaults(**fields)) as stream:
            answer = stream.get_final_message()
    else:
        answer = ask(claude, **fields)
    [block] = answer.content
    assert answer.stop_reason == "tool_use" and block.type == "tool_use"
    assert (block.name, block.input) == (wanted["name"], wanted["arguments"])
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "done"}
    chat = [
        *CALL["messages"],
        {"role": "assistant", "content": [block.model_dump(exclude_none=True)]},
        {"role": "user", "content": [result, {"type": "text", "text": "Thanks."}]},
    ]
    again = ask(claude, messages=chat, tools=TOOLS)
    assert again.usage.input_tokens + again.usage.cache_read_input_tokens > 80


def test_tokens_are_counted(claude):
    counted = claude.messages.count_tokens(model="nano", messages=QUESTION, system="Be brief.")
    answer = ask(claude, system=[{"type": "text", "text": "Be brief."}])
    usage = answer.usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"extra_body": {"temperature": -1}}, "temperature=-1"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "image"),
        ({"messages": []}, "length >= 1"),
        ({"tool_choice": {"type": "any"}}, "needs tools"),
        ({"extra_body": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_what_is_not_honoured_is_refused(claude, fields, reason):
    with pytest.raises(anthropic.BadRequestError, match=reason) as caught:
        ask(claude, **fields)
    assert caught.value.body["error"]["type"] == "invalid_request_error"


def test_an_error_has_anthropics_shape(server):
    answer = httpx.post(f"{server.url}/v1/messages", json={"model": "other"})
    assert answer.status_code == 400 and answer.json()["type"] == "error"


@pytest.mark.parametrize("kind", ["any", "tool"])
def test_the_model_can_be_made_to_use_a_tool(claude, kind):
    choice = {"type": kind, "disable_parallel_tool_use": True}
    choice |= {"name": "buy_ticket"} if kind == "tool" else {}
    answer = ask(claude, messages=CALL["messages"], tools=TOOLS, tool_choice=choice, max_tokens=300)
    [block] = answer.content
    assert block.type == "tool_use" and answer.stop_reason == "tool_use"
    assert block.name == "buy_ticket" and set(block.input) == {"origin", "destination", "day"}
