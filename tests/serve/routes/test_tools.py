"""Tools and thoughts through OpenAI's own client."""

import json

import openai
import pydantic
import pytest

QUESTION = [{"role": "user", "content": "What is the weather in Oslo?"}]
TIMER = [{"role": "user", "content": "Set a timer for 5 minutes called tea."}]


def tool(name, description, properties, **more):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": {**schema, **more}}
    return {"type": "function", "function": function}


WEATHER = tool("get_weather", "Get the weather in a city.", {"city": {"type": "string"}})
SET_TIMER = tool(
    "set_timer", "Start a timer.", {"minutes": {"type": "integer"}, "label": {"type": "string"}}
)
TOOLS = [WEATHER, SET_TIMER]


def ask(client, messages=QUESTION, **fields):
    fields = {"model": "nano", "tools": TOOLS, "temperature": 0, "max_tokens": 120} | fields
    return client.chat.completions.create(messages=messages, **fields)


def strict(tool):
    schema = {**tool["function"]["parameters"], "additionalProperties": False}
    return {**tool, "function": {**tool["function"], "strict": True, "parameters": schema}}


def calls_of(message):
    return [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or ()]


def streamed(client, messages=QUESTION, **fields):
    """The deltas of a stream put together as a client does it, and why it ended."""
    content, calls, reasons = "", {}, []
    for chunk in ask(client, messages, stream=True, **fields):
        [choice] = chunk.choices
        content += choice.delta.content or ""
        reasons.append(choice.finish_reason)
        for delta in choice.delta.tool_calls or ():
            if delta.index not in calls:
                assert delta.id and delta.type == "function" and delta.function.arguments == ""
                calls[delta.index] = [delta.function.name, ""]
            else:
                assert delta.id is None and delta.function.name is None
            calls[delta.index][1] += delta.function.arguments
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    return content, [(name, json.loads(text)) for name, text in calls.values()], reasons[-1]


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        (QUESTION, ("get_weather", {"city": "Oslo"})),
        (TIMER, ("set_timer", {"minutes": 5, "label": "tea"})),
    ],
)
def test_the_model_calls_the_tool_that_fits(client, messages, wanted):
    [choice] = ask(client, messages).choices
    assert calls_of(choice.message) == [wanted]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert streamed(client, messages) == ("", [wanted], "tool_calls")


def test_arguments_come_in_pieces(client):
    deltas = [
        call.function.arguments
        for chunk in ask(client, TIMER, stream=True)
        for call in chunk.choices[0].delta.tool_calls or ()
    ]
    assert deltas[0] == "" and len(deltas) > 5
    assert json.loads("".join(deltas)) == {"minutes": 5, "label": "tea"}


def test_a_result_goes_back_to_the_model(client):
    [choice] = ask(client).choices
    [call] = choice.message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    messages = [*QUESTION, choice.message.model_dump(exclude_none=True), result]
    [answer] = ask(client, messages).choices
    assert answer.finish_reason == "stop" and "21" in answer.message.content


def test_where_no_tool_fits_the_model_answers(client):
    [choice] = ask(client, [{"role": "user", "content": "Hello!"}]).choices
    assert choice.finish_reason == "stop" and choice.message.content
    assert choice.message.tool_calls is None


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"tool_choice": "required"}, {"get_weather", "set_timer"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "set_timer"}}},
            {"set_timer"},
        ),
    ],
    ids=["required", "named"],
)
def test_a_call_can_be_asked_for_whatever_the_question_is(client, fields, names, is_stream):
    messages = [{"role": "user", "content": "What is 3 + 4?"}]
    fields |= {"parallel_tool_calls": False, "tools": [strict(t) for t in TOOLS], "seed": 3}
    for temperature in (0, 1.0):
        fields |= {"temperature": temperature, "max_tokens": 400}
        if is_stream:
            content, calls, reason = streamed(client, messages, **fields)
        else:
            [choice] = ask(client, messages, **fields).choices
            calls, content = calls_of(choice.message), choice.message.content or ""
            reason = choice.finish_reason
        [(name, arguments)] = calls
        assert name in names and content == "" and reason == "tool_calls"
        wanted = {"get_weather": {"city"}, "set_timer": {"minutes", "label"}}
        assert set(arguments) == wanted[name]


def test_none_shows_the_model_no_tools(client):
    with_none = ask(client, tool_choice="none")
    without = client.chat.completions.create(
        model="nano", messages=QUESTION, temperature=0, max_tokens=120
    )
    assert with_none.choices[0].message == without.choices[0].message


def test_strict_tools_are_enforced_where_the_model_is_free(client):
    [choice] = ask(client, tools=[strict(t) for t in TOOLS]).choices
    assert calls_of(choice.message) == [("get_weather", {"city": "Oslo"})]
    cities = {"type": "string", "enum": ["Rome", "Bonn"]}
    narrow = tool("get_weather", "Get the weather in a city.", {"city": cities})
    [choice] = ask(client, tools=[narrow]).choices
    assert calls_of(choice.message) == [("get_weather", {"city": "Oslo"})], "it is not strict"
    [choice] = ask(client, tools=[strict(narrow)]).choices
    [(name, arguments)] = calls_of(choice.message)
    assert name == "get_weather" and arguments["city"] in ("Rome", "Bonn")
    [choice] = ask(client, [{"role": "user", "content": "Hello!"}], tools=[strict(narrow)]).choices
    assert choice.message.content and not choice.message.tool_calls


class GetWeather(pydantic.BaseModel):
    """Get the weather in a city."""

    city: str


class Sum(pydantic.BaseModel):
    first: int
    second: int


def test_the_clients_own_parsing_of_tools_and_answers(client):
    tools = [openai.pydantic_function_tool(GetWeather, name="get_weather")]
    common = {"model": "nano", "temperature": 0, "max_tokens": 300}
    must = {"tools": tools, "tool_choice": "required"}
    answer = client.chat.completions.parse(messages=QUESTION, **must, **common)
    call = answer.choices[0].message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, GetWeather)
    answer = client.chat.completions.parse(messages=QUESTION, response_format=Sum, **common)
    assert isinstance(answer.choices[0].message.parsed, Sum)
    both = {"tools": tools, "response_format": Sum}
    answer = client.chat.completions.parse(messages=QUESTION, **both, **common)
    message = answer.choices[0].message
    assert message.parsed or message.tool_calls[0].function.parsed_arguments


def test_a_stream_is_parsed_by_the_client(client):
    tools = [openai.pydantic_function_tool(GetWeather, name="get_weather")]
    fields = {"model": "nano", "messages": QUESTION, "temperature": 0, "tools": tools}
    fields |= {"tool_choice": "required", "max_tokens": 300}
    with client.chat.completions.stream(**fields) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.delta" in kinds
    assert "tool_calls.function.arguments.done" in kinds
    assert isinstance(message.tool_calls[0].function.parsed_arguments, GetWeather)


def test_several_choices_have_calls_of_their_own(client):
    answer = ask(client, n=3, temperature=0.5, seed=1, tool_choice="required", max_tokens=400)
    ids = [call.id for choice in answer.choices for call in choice.message.tool_calls or ()]
    assert len(ids) >= 3 and len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tools": None, "tool_choice": "required"}, "tool_choice=required needs tools"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "nope"}}},
            "tool_choice=nope is none of tools",
        ),
        ({"tools": [WEATHER, WEATHER]}, "two functions of one name"),
        ({"tools": [WEATHER] * 300}, "<= 128"),
        ({"tools": [tool("a b", "", {})]}, "cannot be used"),
        ({"tools": [tool("x" * 10**6, "", {})]}, "cannot be used"),
        ({"tools": [{"type": "retrieval"}]}, "cannot be used"),
        ({"tool_choice": "sometimes"}, "cannot be used"),
        (
            {"tools": [strict(tool("a", "", {"b": {"not": {}}}))]},
            "the keyword not is not supported",
        ),
        (
            {"extra_body": {"structured_outputs": {"regex": "a"}}, "tool_choice": "auto"},
            "structured_outputs.regex cannot be had with tools",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(client, fields, message):
    with pytest.raises(openai.BadRequestError, match=message):
        ask(client, **fields)


def test_a_schema_that_need_not_hold_gives_way_where_it_cannot_be_enforced(client):
    loose = tool("get_weather", "Get the weather.", {"city": {"type": "string", "not": {}}})
    [choice] = ask(client, tools=[loose], tool_choice="required").choices
    assert choice.message.tool_calls[0].function.name == "get_weather"
