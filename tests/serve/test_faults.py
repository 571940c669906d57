"""Processes of a server end, hang and stop while it is used."""

import asyncio
import json
import signal
import socket
import time

import httpx
import psutil
import pytest
from cpu import LEVELS, native_levels
from resealed import reseal
from server import Server, metrics, serving, wait_until

LONG = {"prompt": "one two", "max_tokens": 1500, "temperature": 0, "ignore_eos": True}
SHORT = LONG | {"max_tokens": 8}


@pytest.fixture
def own(nano):
    """A server that a test may break."""
    with serving(nano, "--max-num-seqs", "16", "--num-threads", "1") as server:
        yield server


def ask(server, **fields):
    return httpx.post(f"{server.url}/v1/completions", json=fields, timeout=30)


def events(response):
    for line in response.iter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


async def until_running(server, count, num_restarts=0):
    """Until the engine after so many others works on so many requests."""
    while True:
        found = await asyncio.to_thread(metrics, server)
        num_unfinished = found["num_requests_running"] + found["num_requests_waiting"]
        if num_unfinished >= count and found["engine_restarts_total"] == num_restarts:
            return
        await asyncio.sleep(0.01)


def is_quiet(server):
    """Nothing runs, and every page is free or cached."""
    names = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
    found = metrics(server)
    return [found[name] for name in names] == [0, 0, 0]


def test_when_the_engine_ends_a_stream_ends_with_one_error_and_the_next_is_answered(own):
    with httpx.stream("POST", f"{own.url}/v1/completions", json=LONG | {"stream": True}) as answer:
        found = events(answer)
        next(found)
        killed_s = time.monotonic()
        own.engine().kill()
        *_, last = found
    assert last["error"]["code"] == "engine_restarted"
    assert time.monotonic() - killed_s < 1
    own.wait_ready(timeout_s=5)
    assert ask(own, **SHORT).status_code == 200
    assert metrics(own)["engine_restarts_total"] == 1


def test_when_the_engine_ends_what_has_been_told_nothing_is_answered_by_the_next(own):
    asked_for = LONG | {"max_tokens": 400}
    wanted = ask(own, **asked_for).json()["choices"]

    async def main():
        async with httpx.AsyncClient(timeout=30) as client:
            asked = [
                asyncio.ensure_future(client.post(f"{own.url}/v1/completions", json=asked_for))
                for _ in range(20)
            ]
            await until_running(own, 20)
            own.engine().kill()
            return [answer.json()["choices"] for answer in await asyncio.gather(*asked)]

    assert asyncio.run(main()) == [wanted] * 20


def test_what_ends_two_engines_is_not_asked_a_third_time(own):
    async def main():
        async with httpx.AsyncClient(timeout=30) as client:
            asking = asyncio.ensure_future(client.post(f"{own.url}/v1/completions", json=LONG))
            for num_restarts in range(2):
                await until_running(own, 1, num_restarts)
                own.engine().kill()
            return await asking

    answer = asyncio.run(main())
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "engine_restarted"
    assert answer.headers["retry-after"] == "1"


def test_a_step_that_hangs_is_found_and_the_engine_replaced(nano):
    with serving(nano, "--step-timeout-s", "1", "--num-threads", "1") as server:
        ask(server, **SHORT)
        engine = server.engine()
        engine.suspend()
        assert psutil.wait_procs([engine], timeout=6)[1] == []
        server.wait_ready(timeout_s=5)
        assert ask(server, **SHORT).status_code == 200


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_the_time_for_a_request_is_over_also_where_the_engine_hangs(nano, is_stream):
    with serving(nano, "--request-timeout-s", "1", "--num-threads", "1") as server:
        engine = server.engine()
        engine.suspend()
        asked_s = time.monotonic()
        answer = ask(server, **SHORT, stream=is_stream)
        assert answer.status_code == 408 and answer.json()["error"]["code"] == "timeout"
        assert time.monotonic() - asked_s < 4
        engine.resume()
        assert ask(server, **SHORT).status_code == 200
        wait_until(lambda: is_quiet(server))


def test_when_a_front_ends_the_listener_stays_and_its_requests_free_their_pages(own):
    with pytest.raises(httpx.TransportError):
        with httpx.stream("POST", f"{own.url}/v1/completions", json=LONG | {"stream": True}) as a:
            found = events(a)
            next(found)
            [front] = own.children("front_process")
            front.kill()
            list(found)
    assert ask(own, **SHORT).status_code == 200  # the connection waited for the next front
    wait_until(lambda: is_quiet(own))


def test_when_the_supervisor_ends_nothing_is_left(own):
    family = psutil.Process(own.process.pid).children(recursive=True)
    own.process.kill()
    _, alive = psutil.wait_procs(family, timeout=2)
    assert alive == []


def test_engines_that_serve_nothing_end_the_server_with_an_exit_code(nano):
    server = Server(nano, "--max-engine-failures", "3")
    try:
        killed = set()
        while server.process.poll() is None and len(killed) < 10:
            for engine in server.children("engine_process"):
                engine.kill()
                killed.add(engine.pid)
            time.sleep(0.02)
        assert len(killed) == 3
        assert server.process.wait(10) == 1
    finally:
        server.close()


def test_a_model_that_cannot_be_loaded_ends_the_server_at_once(nano, monkeypatch):
    other = next(level for level in LEVELS if level != native_levels()[0])
    monkeypatch.setenv("TAPEOUT_CPU_LEVEL", other)
    server = Server(nano)
    try:
        assert server.process.wait(10) == 2
        assert any(f"TAPEOUT_CPU_LEVEL={other}" in line for line in server.log)
    finally:
        server.close()


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_model_whose_texts_cannot_be_made_ends_the_server_at_once(nano, tmp_path, name):
    server = Server(reseal(nano, tmp_path / "model", {name: b"{"}))
    try:
        assert server.process.wait(10) == 2
        told = [json.loads(line) for line in server.log if '"critical"' in line]
        [message] = [line["message"] for line in told]
        assert message.startswith("the model cannot be served: ") and f"{name}: " in message
        assert not any("Traceback" in line or "is ready" in line for line in server.log)
    finally:
        server.close()


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(nano, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server(nano, "--port", str(taken.getsockname()[1]))
    assert server.process.wait(10) == 2
    assert "cannot be listened on" in "".join(server.log)
    server.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_end_and_refuses_what_is_new(own, number):
    async def main():
        async with httpx.AsyncClient(
            timeout=60, limits=httpx.Limits(max_connections=300)
        ) as client:
            url = f"{own.url}/v1/completions"
            asked = [
                asyncio.ensure_future(
                    client.post(url, json=SHORT | {"max_tokens": 100, "stream": i % 2 == 0})
                )
                for i in range(200)
            ]
            await until_running(own, 100)
            own.process.send_signal(number)
            await asyncio.sleep(0.2)
            late = await client.post(url, json=SHORT)
            ready = await client.get(f"{own.url}/ready")
            return late, ready, await asyncio.gather(*asked)

    late, ready, answers = asyncio.run(main())
    assert late.status_code == 503 and late.json()["error"]["code"] == "shutting_down"
    assert ready.status_code == 503
    assert [answer.status_code for answer in answers] == [200] * 200
    assert all('"finish_reason":"length"' in answer.text for answer in answers)
    assert own.process.wait(10) == 0


def test_a_second_signal_ends_what_runs(own):
    with httpx.stream("POST", f"{own.url}/v1/completions", json=LONG | {"stream": True}) as answer:
        found = events(answer)
        next(found)
        own.process.terminate()
        next(found)
        time.sleep(0.2)
        own.process.terminate()
        *_, last = found
    assert last["error"]["code"] == "shutting_down"
    assert own.process.wait(10) == 128 + signal.SIGTERM


def test_what_runs_too_long_after_a_signal_is_ended(nano):
    with serving(nano, "--drain-timeout-s", "0.5", "--num-threads", "1") as server:
        stream = LONG | {"stream": True, "n": 4, "temperature": 1}
        with httpx.stream("POST", f"{server.url}/v1/completions", json=stream) as answer:
            found = events(answer)
            next(found)
            server.process.terminate()
            *_, last = found
        assert "error" in last or last["choices"][0]["finish_reason"] == "length"
        assert server.process.wait(10) == 0


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wait_s", [0, 0.002, 0.05])
def test_a_client_that_leaves_ends_what_it_asked_for(own, is_stream, wait_s):
    body = json.dumps(LONG | {"stream": is_stream, "n": 4, "temperature": 1}).encode()
    host, port = own.url.removeprefix("http://").split(":")
    for _ in range(10):
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST /v1/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            time.sleep(wait_s)
    left_s = time.monotonic()
    wait_until(lambda: is_quiet(own))
    assert time.monotonic() - left_s < 1
    assert [line for line in own.log if "exception" in line] == []
