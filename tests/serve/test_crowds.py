"""Many clients at a time: nothing is lost, mixed up, or left behind."""

import asyncio
import json
import random
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from light_client import Connection
from server import metrics, serving, wait_until

from tapeout import SamplingParams

PROMPTS = Path(__file__).parents[2] / "examples" / "nano" / "prompts.json"
COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"
PAUSE_S = 0.4  # of a client that was refused


def chats(count):
    """Chats with what makes each of them different, and answers that are determined."""
    asked = json.loads(PROMPTS.read_text())
    chance = random.Random(7)
    return [
        {
            "messages": asked[i % len(asked)]["messages"],
            "temperature": chance.choice([0, 0.8, 1.5]),
            "seed": chance.randrange(100),
            "max_tokens": chance.choice([5, 40]),
            "stop": chance.choice([None, "a", ["7", "e"]]),
        }
        for i in range(count)
    ]


def offline_texts(offline, bodies):
    messages = [body["messages"] for body in bodies]
    params = [
        SamplingParams(
            **{name: body[name] for name in ("temperature", "seed", "max_tokens", "stop")}
        )
        for body in bodies
    ]
    return [out.outputs[0].text for out in offline.chat(messages, params, use_tqdm=False)]


async def streamed(url, body):
    connection = Connection(url)
    answer = await connection.post(CHATS, body | {"stream": True})
    connection.close()
    *events, end = answer.events()
    assert answer.status == 200 and end == "[DONE]"
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events)


@pytest.mark.parametrize("num_fronts", [1, 2])
def test_256_concurrent_streams_are_each_the_offline_answer(nano, offline, num_fronts):
    bodies = chats(256)
    options = ["--num-fronts", str(num_fronts), "--max-num-seqs", "64"]

    async def main(url):
        return await asyncio.gather(*(streamed(url, body) for body in bodies))

    with serving(nano, *options) as server:
        said = asyncio.run(main(server.url))
        wait_until(lambda: metrics(server)["kv_cache_usage_perc"] == 0)
        assert metrics(server)["request_success_total"] == 256
    assert said == offline_texts(offline, bodies)


async def one_end(url, chance, ends):
    """Asks until told to stop; every request has to end in one answer or in one error."""
    connection = Connection(url)
    while not ends.is_over:
        is_stream = chance.random() < 0.5
        body = {"prompt": "one two", "max_tokens": chance.choice([4, 100]), "stream": is_stream}
        body |= {"ignore_eos": True}
        answer = await connection.post(COMPLETIONS, body)
        if answer.status != 200:
            assert answer.status == 503 and answer.json()["error"]["code"] in ends.EXPECTED
            ends.count["refused"] += 1
            await asyncio.sleep(0.05)
        elif not is_stream:
            assert answer.json()["choices"][0]["finish_reason"] == "length"
            ends.count["answered"] += 1
        else:
            *events, last = answer.events()
            assert last == "[DONE]"
            failed = "error" in events[-1]
            assert failed or events[-1]["choices"][0]["finish_reason"] == "length"
            ends.count["cut" if failed else "answered"] += 1
    connection.close()


class Ends:
    """How the requests of a crowd have ended."""

    EXPECTED = ("engine_restarted", "not_ready")

    def __init__(self):
        self.is_over, self.count = False, dict.fromkeys(("answered", "refused", "cut"), 0)


@pytest.mark.parametrize("num_kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_an_engine_killed_at_random_leaves_no_request_without_its_end(nano, num_kills):
    chance, ends = random.Random(num_kills), Ends()

    async def main(server):
        crowd = [
            asyncio.ensure_future(one_end(server.url, random.Random(i), ends)) for i in range(24)
        ]
        for _ in range(num_kills):
            await asyncio.sleep(chance.random() * 1.5)
            for engine in server.children("engine_process"):
                engine.kill()
            killed_s = time.monotonic()
            await asyncio.to_thread(server.wait_ready, 10)
            assert time.monotonic() - killed_s < 5
        await asyncio.sleep(0.5)
        ends.is_over = True
        await asyncio.gather(*crowd)

    with serving(nano, "--num-threads", "1", "--max-engine-failures", "20") as server:
        asyncio.run(main(server))
        wait_until(lambda: metrics(server)["kv_cache_usage_perc"] == 0)
        assert ends.count["answered"] > 10 * num_kills
        assert metrics(server)["engine_restarts_total"] == num_kills
        assert server.stop() == 0


async def load(url, num_clients, seconds, max_tokens=200):
    """Clients that come one after another and ask again at once, or a while after a refusal; gives
    tokens answered a second, and the refusals."""
    end_s, num_tokens, refusals = time.monotonic() + seconds, 0, []

    async def client(number):
        nonlocal num_tokens
        await asyncio.sleep(PAUSE_S * number / num_clients)
        connection = Connection(url)
        body = {"prompt": "one two", "max_tokens": max_tokens, "ignore_eos": True}
        while time.monotonic() < end_s:
            answer = await connection.post(COMPLETIONS, body)
            if answer.status == 200:
                num_tokens += answer.json()["usage"]["completion_tokens"]
            else:
                refusals.append(answer)
                await asyncio.sleep(PAUSE_S)
        connection.close()

    started_s = time.monotonic()
    await asyncio.gather(*map(client, range(num_clients)))
    return num_tokens / (time.monotonic() - started_s), refusals


@pytest.mark.parametrize(
    ("seconds", "is_measured"), [(1, False), pytest.param(10, True, marks=pytest.mark.slow)]
)
def test_ten_times_the_load_is_refused_in_time_and_the_rest_is_served(nano, seconds, is_measured):
    options = ["--max-num-seqs", "16", "--max-num-waiting", "16", "--num-threads", "1"]
    with serving(nano, *options) as server:
        asyncio.run(load(server.url, 32, 1))
        peak, none = asyncio.run(load(server.url, 32, seconds))
        goodput, refusals = asyncio.run(load(server.url, 320, seconds))
    assert none == [] and len(refusals) > 100  # at a rate of ten times what can be served
    for refusal in refusals:
        assert refusal.status == 503 and refusal.json()["error"]["code"] == "queue_full"
        assert 1 <= int(refusal.headers["retry-after"]) <= 60
    p99_s = sorted(refusal.took_s for refusal in refusals)[len(refusals) * 99 // 100]
    print(f"{peak:.0f} tokens/s, overloaded {goodput:.0f}, refused in {p99_s:.3f} s")
    if is_measured:
        assert goodput >= 0.9 * peak
        assert p99_s < 0.05


def resources(server):
    """Bytes, threads and descriptors of every process of the server."""
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children()]
    return {
        name: [value(process) for process in family]
        for name, value in {
            "bytes": lambda process: process.memory_info().rss,
            "threads": lambda process: process.num_threads(),
            "descriptors": lambda process: process.num_fds(),
        }.items()
    }


@pytest.mark.slow
def test_nothing_grows_over_20_000_requests(nano):
    async def client(url, chance, num_requests):
        connection = Connection(url)
        for _ in range(num_requests):
            body = {"prompt": [chance.randrange(3, 2000)] * chance.choice([3, 40]), "max_tokens": 3}
            asking = connection.post(COMPLETIONS, body | {"stream": chance.random() < 0.5})
            if chance.random() < 0.05:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asking, 0.001)
                connection.close()
            else:
                assert (await asking).status == 200
        connection.close()

    async def crowd(url, num_requests):
        clients = (client(url, random.Random(i), num_requests // 20) for i in range(20))
        await asyncio.gather(*clients)

    # Few pages, so that all of them have been written to before it is measured.
    options = ["--num-threads", "1", "--kv-cache-bytes", str(32 << 20)]
    with serving(nano, *options) as server:
        asyncio.run(crowd(server.url, 3000))
        wait_until(lambda: metrics(server)["kv_cache_usage_perc"] == 0)
        before = resources(server)
        asyncio.run(crowd(server.url, 20_000))
        wait_until(lambda: metrics(server)["kv_cache_usage_perc"] == 0)
        after = resources(server)
        print(before, after)
        assert after["threads"] == before["threads"]
        for old, new in zip(before["descriptors"], after["descriptors"], strict=True):
            assert new <= old + 2
        for old, new in zip(before["bytes"], after["bytes"], strict=True):
            assert new <= 1.05 * old + (4 << 20)
