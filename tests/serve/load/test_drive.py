"""The load client against a server of ours, and against one that fails in every way."""

import asyncio
import json

import pytest
from click.testing import CliRunner

from tapeout.cli import main

SHORT = ["--input-len", "12", "--output-len", "6"]


def bench(url, *options, exit_code=0):
    done = CliRunner().invoke(main, ["bench", "serve", url, *options])
    assert done.exit_code == exit_code, done.output
    return done.stdout


def test_a_closed_loop_keeps_so_many_on_their_way(server):
    options = ["--concurrency", "3", "--num-prompts", "9", "--json"]
    found = json.loads(bench(server.url, *SHORT, *options))
    assert found["model"] == "nano" and found["errors"] == {}
    assert found["num_prompt_tokens"] == 9 * 12 and found["num_output_tokens"] == 9 * 6
    assert 0 < found["ttft_s"]["p50"] <= found["e2e_s"]["p50"] <= found["elapsed_s"]
    assert 0 < found["itl_s"]["p50"] <= found["itl_s"]["p99"] <= found["itl_s"]["max"]
    assert found["good_share"] == 1.0 and found["max_late_s"] == 0.0


def test_an_open_loop_sends_at_its_rate_and_writes_its_files(server, tmp_path):
    record, page = tmp_path / "report.json", tmp_path / "report.html"
    options = ["--request-rate", "20", "--num-prompts", "20", "--lengths", "alpaca"]
    options += ["--goodput", "e2e:0.001", "--goodput", "ttft:60000"]
    text = bench(f"{server.url}/v1", *options, "--output", str(record), "--plot", str(page))
    assert "20 requests to nano" in text and "time to first token" in text
    found = json.loads(record.read_text())
    assert found["errors"] == {} and found["good_share"] == 0.0
    assert found["elapsed_s"] > 0.4
    assert "</svg>" in page.read_text()


def test_chats_are_asked_too(server):
    options = ["--endpoint", "chat", "--concurrency", "2", "--num-prompts", "4", "--json"]
    found = json.loads(bench(server.url, *SHORT, *options))
    assert found["errors"] == {} and found["num_output_tokens"] == 4 * 6


def test_what_a_server_refuses_is_counted(server):
    options = ["--concurrency", "2", "--num-prompts", "4", "--json", "--model", "other"]
    found = json.loads(bench(server.url, *SHORT, *options, exit_code=1))
    assert found["errors"] == {"404 model_not_found": 4}


def test_where_nobody_listens_it_is_said():
    done = CliRunner().invoke(main, ["bench", "serve", "http://127.0.0.1:9", "--concurrency", "1"])
    assert done.exit_code == 2 and "does not answer" in done.stderr


EVENT = b'data: {"choices": [{"text": "a"}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
ANSWERS = {
    "500 server_error": b"HTTP/1.1 500 E\r\ncontent-length: 35\r\n\r\n"
    b'{"error": {"type": "server_error"}}',
    "502": b"HTTP/1.1 502 E\r\ncontent-length: 5\r\n\r\n<html",
    "connection lost": b"",
    "in stream: cut off": HEAD + EVENT,
    "in stream: engine_restarted": HEAD
    + EVENT
    + b'data: {"error": {"code": "engine_restarted"}}\n\n',
    "in stream: no JSON": HEAD + b"data: {\n\n",
    "no output": HEAD + b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_each_way_to_fail_has_its_kind(kind):
    errors = asyncio.run(_errors_of(ANSWERS[kind], ["--timeout-s", "5"]))
    assert errors == {kind: 1}


def test_a_server_that_says_nothing_is_given_up():
    assert asyncio.run(_errors_of(None, ["--timeout-s", "0.2"])) == {"timeout": 1}


async def _errors_of(answer, options):
    """The errors of one request to a server that answers with these bytes, or never."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        options = [*options, "--model", "m", "--concurrency", "1", "--num-prompts", "1", "--json"]
        url = f"http://127.0.0.1:{port}"
        text = await asyncio.to_thread(bench, url, *SHORT, *options, exit_code=1)
        return json.loads(text)["errors"]
