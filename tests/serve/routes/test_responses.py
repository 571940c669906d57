import json
import re
from pathlib import Path

import httpx
import openai
import pydantic
import pytest

PROMPTS = Path(__file__).parents[3] / "examples" / "nano" / "prompts.json"
CALL = next(case for case in json.loads(PROMPTS.read_text()) if case["task"] == "tool_call")
TOOLS = [{"type": "function", "strict": False, **tool["function"]} for tool in CALL["tools"]]


def with_defaults(**fields):
    return {"model": "nano", "input": "What is 3 + 4?", "temperature": 0} | fields


def ask(client, **fields):
    return client.responses.create(**with_defaults(**fields))


def test_a_response_is_made(client):
    answer = ask(client, metadata={"a": "b"})
    assert answer.output_text == "3 + 4 = 7" and answer.status == "completed"
    assert answer.metadata == {"a": "b"} and answer.model == "nano"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (18, 10)


def test_a_stream_is_the_response_in_pieces(client):
    with client.responses.stream(model="nano", input="What is 3 + 4?", temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == "3 + 4 = 7" and final.status == "completed"
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(said) == "3 + 4 = 7"


def test_an_answer_that_is_cut_is_incomplete(client):
    answer = ask(client, max_output_tokens=3)
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    *_, last = ask(client, max_output_tokens=3, stream=True)
    assert last.type == "response.incomplete" and last.response.output_text == answer.output_text


def test_an_answer_is_held_to_a_schema_and_parsed(client):
    class Person(pydantic.BaseModel):
        name: str
        age: int

    text = "Extract the name, age as JSON: Marta Wong, 62, works as an artist in Quito."
    answer = client.responses.parse(**with_defaults(input=text, text_format=Person))
    assert answer.output_parsed == Person(name="Marta Wong", age=62)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_function_is_called_and_its_output_told(client, is_stream):
    wanted = json.loads(re.search(r"\{.*\}", CALL["answer"], re.DOTALL)[0])
    if is_stream:
        fields = with_defaults(input=CALL["messages"], tools=TOOLS)
        with client.responses.stream(**fields) as stream:
            answer = stream.get_final_response()
    else:
        answer = ask(client, input=CALL["messages"], tools=TOOLS)
    [call] = answer.output
    assert call.type == "function_call" and call.name == wanted["name"]
    assert json.loads(call.arguments) == wanted["arguments"]
    given = {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
    chat = [*CALL["messages"], call.model_dump(exclude_none=True), given]
    again = ask(client, input=chat, tools=TOOLS, max_output_tokens=10)
    assert again.usage.input_tokens > answer.usage.total_tokens


def test_an_earlier_answer_can_be_given_back(client):
    first = ask(client, instructions="Be brief.")
    message = first.output[0].model_dump(exclude_none=True)
    asked = {"role": "user", "content": [{"type": "input_text", "text": "What is 3 + 4?"}]}
    again = ask(client, input=[asked, message, asked], instructions="Be brief.")
    assert again.usage.input_tokens > first.usage.total_tokens


def test_logprobs_are_included_when_asked_for(client):
    answer = ask(client, include=["message.output_text.logprobs"], top_logprobs=2)
    [part] = answer.output[0].content
    assert "".join(entry.token for entry in part.logprobs).startswith("3 + 4 = 7")
    assert all(len(entry.top_logprobs) == 2 for entry in part.logprobs)


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ({"store": True}, "store", "nothing is stored"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "nothing is stored"),
        ({"background": True}, "background", "nothing is stored"),
        ({"reasoning": {"effort": "high"}}, "reasoning", "thought"),
        ({"truncation": "auto"}, "truncation", "refused"),
        ({"tools": [{"type": "web_search"}]}, "tools", "web_search"),
        ({"tool_choice": "required"}, "tool_choice", "needs tools"),
        ({"input": []}, "input", "length >= 1"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input", "lacks"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input", "only text"),
        ({"temperature": 1e9}, "temperature", "temperature"),
        ({"extra_body": {"nonsense": 1}}, None, "nonsense"),
    ],
)
def test_what_is_not_honoured_is_refused_by_name(client, fields, param, reason):
    with pytest.raises(openai.BadRequestError, match=reason) as caught:
        ask(client, **fields)
    assert caught.value.param == param


def test_an_unknown_response_is_not_found(server):
    assert httpx.get(f"{server.url}/v1/responses/resp_1").status_code == 404
