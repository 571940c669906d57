"""Requests that no client would send: each is answered, none by a fault of the server."""

import asyncio
import json
import random

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from light_client import Connection
from schemathesis.checks import not_a_server_error
from server import metrics, wait_until

COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"
NEEDED = {
    COMPLETIONS: {"prompt": ["a", [5, 6], ["a", "b"], [[5], [6]]]},
    CHATS: {"messages": [[{"role": "user", "content": "a"}]]},
    "/tokenize": {"prompt": ["a b"]},
    "/detokenize": {"tokens": [[4, 5]]},
}
SAMPLING = {
    "model": ["nano", "other"],
    "n": [2],
    "temperature": [0, 1.5],
    "top_p": [0.5],
    "top_k": [3],
    "min_p": [0.1],
    "seed": [1],
    "stop": ["a", ["b", "c"]],
    "stop_token_ids": [[7]],
    "ignore_eos": [True],
    "min_tokens": [1],
    "presence_penalty": [0.5],
    "frequency_penalty": [0.5],
    "repetition_penalty": [1.1],
    "logit_bias": [{"5": 1}],
    "bad_words": [["a"]],
    "allowed_token_ids": [[5, 6, 7]],
    "stream": [True],
    "structured_outputs": [{"choice": ["a", "b"]}, {"regex": "[ab]+"}],
    "truncate_prompt_tokens": [2],
    "priority": [1],
    "cache_salt": ["s"],
    "user": ["u"],
}
OWN = {
    COMPLETIONS: SAMPLING | {"echo": [True], "logprobs": [0, 2], "best_of": [2]},
    CHATS: SAMPLING
    | {
        "max_completion_tokens": [2],
        "logprobs": [True],
        "top_logprobs": [2],
        "response_format": [{"type": "json_object"}],
        "chat_template_kwargs": [{"a": 1}],
        "tools": [[{"type": "function", "function": {"name": "f", "parameters": {}}}]],
    },
    "/tokenize": {"return_token_strs": [True], "add_special_tokens": [False]},
    "/detokenize": {"model": ["nano"]},
}
ODD = [None, True, False, -1, 0, 2**31, 2**63, -(2**63), 2**64, 1e-30, -0.0, 1e300, "", "a", "\0"]
ODD += ["\u202e", "x" * 5000, [], {}, [[]], [None], {"": None}, {"a": {"b": []}}, [1.5], ["a", 1]]
ODD += [
    [{"role": "user"}],
    [{"role": "user", "content": [{"type": "text"}]}],
    {"type": "json_schema"},
]


def drawn_body(chance, path):
    """A body that is right, or nearly so in one of many ways; now and then just bytes."""
    if chance.random() < 0.02:
        return chance.randbytes(chance.choice([1, 50, 3000]))
    fields = NEEDED[path] | OWN[path]
    names = [
        *NEEDED[path],
        *chance.sample(sorted(OWN[path]), chance.randrange(len(OWN[path]) + 1) // 4),
    ]
    body = {name: chance.choice(fields[name]) for name in names}
    if path in (COMPLETIONS, CHATS):
        body["max_tokens"] = 2
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        body[chance.choice([*fields, "nonsense"])] = chance.choice(ODD)
    content = json.dumps(body).encode()
    if chance.random() < 0.05:
        place = chance.randrange(len(content))
        content = content[:place] + chance.randbytes(3) + content[place + chance.randrange(9) :]
    return content


async def fuzz(url, seed, num_requests, seen):
    chance, connection = random.Random(seed), Connection(url)
    for _ in range(num_requests):
        path = chance.choice(sorted(NEEDED))
        body = drawn_body(chance, path)
        answer = await asyncio.wait_for(connection.post(path, body), 10)
        seen.append(answer)
        assert answer.status < 500, (path, body, answer.body)
        assert answer.status == 200 or answer.json()["error"]["message"], (path, body)
    connection.close()


@pytest.mark.parametrize(
    ("num_requests", "most_s"),  # others may keep the machine busy beside the short run
    [(1500, 10), pytest.param(100_000, 1, marks=pytest.mark.slow)],
)
def test_fuzzed_requests_are_answered_and_change_nothing_for_who_runs_beside(
    server, num_requests, most_s
):
    beside = {"prompt": "one two three", "max_tokens": 200, "ignore_eos": True}
    beside |= {"seed": 3, "cache_salt": "own"}

    async def main():
        seen, num_clients = [], 6
        connection = Connection(server.url)
        alone = (await connection.post(COMPLETIONS, beside)).json()["choices"]
        clients = [
            asyncio.ensure_future(fuzz(server.url, seed, num_requests // num_clients, seen))
            for seed in range(num_clients)
        ]
        num_beside = 0
        while not all(client.done() for client in clients):
            answer = await connection.post(COMPLETIONS, beside)
            assert answer.json()["choices"] == alone
            num_beside += 1
        await asyncio.gather(*clients)
        connection.close()
        return seen, num_beside

    seen, num_beside = asyncio.run(main())
    statuses, slowest_s = [answer.status for answer in seen], max(a.took_s for a in seen)
    assert set(statuses) >= {200, 400, 404} and num_beside > 3
    assert statuses.count(200) > len(seen) / 5
    print(f"{len(seen)} requests, the slowest took {slowest_s:.3f} s")
    assert slowest_s < most_s
    wait_until(lambda: metrics(server)["kv_cache_usage_perc"] == 0)
    assert httpx.get(f"{server.url}/ready").status_code == 200


def test_requests_made_of_the_openapi_document_find_no_fault(server):
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    seen = []
    for operation in (result.ok() for result in document.get_all_operations()):

        @given(operation.as_strategy())
        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        def check(case):
            case.call_and_validate(checks=[not_a_server_error], timeout=10)

        check()
        seen.append(operation.path)
    assert set(seen) >= {COMPLETIONS, CHATS, "/tokenize", "/detokenize", "/v1/models", "/metrics"}
