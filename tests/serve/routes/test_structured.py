"""Answers that have to match something, through a live server."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from json_values import validator
from make_schemas import make_schemas

ASKED = {"model": "nano", "temperature": 1.0, "max_tokens": 400}
MESSAGES = [{"role": "user", "content": "Write some JSON."}]
REFUSED = "refused"
HOSTILE = [
    {"structured_outputs": {"regex": ".*" * 2000}},
    {"structured_outputs": {"regex": "(" * 2000}},
    {"structured_outputs": {"grammar": "start: " + "(" * 30_000}},
    {"structured_outputs": {"grammar": "root ::= " + "(" * 30_000}},
    {"structured_outputs": {"json": '{"items":' * 5000 + "{}" + "}" * 5000}},
    {"structured_outputs": {"choice": ["x" * 5000]}},
    {"structured_outputs": {"json": {"type": "integer", "multipleOf": 99_999_989}}},
]


def answer_of(client, schema, seed):
    """The text that was said, None if it was cut off; REFUSED if the schema is."""
    asked = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    fields = ASKED | {"messages": MESSAGES, "seed": seed, "response_format": asked}
    try:
        [choice] = client.chat.completions.create(**fields).choices
    except openai.BadRequestError:
        return REFUSED
    return choice.message.content if choice.finish_reason == "stop" else None


def test_200_schemas_are_refused_or_every_answer_validates(client):
    schemas = [entry["schema"] for entry in make_schemas()]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: answer_of(client, schemas[i], i), range(len(schemas))))
    told = [(s, a) for s, a in zip(schemas, answers, strict=True) if a != REFUSED]
    said = [(schema, text) for schema, text in told if text is not None]
    assert [s for s in said if not validator(s[0]).is_valid(json.loads(s[1]))] == []
    assert len(told) > 150 and len(said) > 0.9 * len(told)


@pytest.mark.parametrize("fields", HOSTILE, ids=lambda fields: str(fields)[23:55])
def test_what_is_hostile_is_refused_and_nobody_else_waits_for_it(client, fields):
    with ThreadPoolExecutor(1) as pool:
        hostile = pool.submit(
            client.chat.completions.create, **ASKED, messages=MESSAGES, extra_body=fields
        )
        started_s = time.perf_counter()
        client.chat.completions.create(**ASKED | {"max_tokens": 5}, messages=MESSAGES)
        others_s = time.perf_counter() - started_s
        with pytest.raises(openai.BadRequestError):
            hostile.result()
    assert others_s < 2
