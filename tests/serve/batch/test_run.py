"""Batches run by the command, as users do."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest
from server import wait_until

OFFER = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def line(custom_id, body, url="/v1/completions", **fields):
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body} | fields


def completion(custom_id, **body):
    return line(
        custom_id, {"prompt": f"word {custom_id}", "max_tokens": 4, "temperature": 0} | body
    )


def chat(custom_id, **body):
    messages = [{"role": "user", "content": f"Add 2 and {custom_id}"}]
    return line(custom_id, {"messages": messages} | body, "/v1/chat/completions")


def write(path, lines):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    return path


def results(path):
    return {entry["custom_id"]: entry for entry in map(json.loads, path.read_text().splitlines())}


def command(nano, source, target):
    options = ["-i", source, "-o", target, "--model", nano, "--num-threads", 1, "--json"]
    options += ["--max-num-seqs", 4]
    return [sys.executable, "-m", "tapeout.cli", "run-batch", *map(str, options)]


def run(nano, source, target, exit_code=0):
    done = subprocess.run(command(nano, source, target), capture_output=True, text=True, timeout=60)
    assert done.returncode == exit_code, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def batch(nano, tmp_path_factory):
    """A batch of all kinds of lines, run once: its folder, and what the command said."""
    folder = tmp_path_factory.mktemp("batch")
    lines = [
        *(completion(f"c{i}") for i in range(20)),
        *(chat(f"h{i}", max_completion_tokens=5) for i in range(5)),
        chat("tool", tools=OFFER, tool_choice="required", max_completion_tokens=60),
        line("response", {"input": "Hello", "max_output_tokens": 5}, "/v1/responses"),
        completion("bad-field", top_p=7),
        completion("bad-model", model="other"),
        completion("stream", stream=True),
        line("bad-url", {}, "/v1/embeddings"),
        completion("bad-method") | {"method": "GET"},
    ]
    source = write(folder / "in.jsonl", lines)
    report, said = run(nano, source, folder / "out.jsonl", exit_code=1)
    assert said == f"5 of 32 requests have no answer; their lines in {folder}/out.jsonl say why\n"
    return folder, report


def test_every_request_has_one_result(batch):
    folder, report = batch
    found = (folder / "out.jsonl").read_text().splitlines()
    assert len(found) == len(results(folder / "out.jsonl")) == report["num_requests"] == 32
    assert report["num_failed"] == 5 and report["num_skipped"] == 0


def test_an_answer_is_what_a_server_says(batch, client):
    found = results(batch[0] / "out.jsonl")
    for name in ("c0", "c19"):
        told = client.completions.create(
            model="nano", prompt=f"word {name}", max_tokens=4, temperature=0
        )
        response = found[name]["response"]
        assert response["status_code"] == 200 and found[name]["error"] is None
        assert response["body"]["choices"][0]["text"] == told.choices[0].text
        assert response["body"]["id"] == f"cmpl-{response['request_id']}"
        assert found[name]["id"].startswith("batch_req_")
    assert found["h4"]["response"]["body"]["object"] == "chat.completion"
    assert found["response"]["response"]["body"]["object"] == "response"
    [choice] = found["tool"]["response"]["body"]["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "add"


def test_an_error_stays_with_its_line_in_the_shape_of_openai(batch):
    found = results(batch[0] / "out.jsonl")
    for name, status, param in (("bad-field", 400, "top_p"), ("bad-model", 404, "model")):
        response = found[name]["response"]
        assert response["status_code"] == status and found[name]["error"] is None
        assert response["body"]["error"]["param"] == param
    for name, code in (
        ("stream", "invalid_body"),
        ("bad-url", "invalid_url"),
        ("bad-method", "invalid_method"),
    ):
        assert found[name]["response"] is None and found[name]["error"]["code"] == code


def test_what_the_output_has_is_not_run_again(nano, batch, tmp_path):
    before = (batch[0] / "out.jsonl").read_bytes().splitlines(keepends=True)
    target = tmp_path / "out.jsonl"
    target.write_bytes(b"".join(before[:7]) + before[7][:20])  # the last is torn
    report, _ = run(nano, batch[0] / "in.jsonl", target, exit_code=1)
    assert report == {"num_requests": 32, "num_skipped": 7, "num_failed": 5}
    after = target.read_bytes().splitlines(keepends=True)
    assert after[:7] == before[:7] and len(after) == 32
    assert results(target).keys() == results(batch[0] / "out.jsonl").keys()


def test_what_had_no_answer_before_still_has_none(nano, batch):
    report, said = run(nano, batch[0] / "in.jsonl", batch[0] / "out.jsonl", exit_code=1)
    assert report == {"num_requests": 32, "num_skipped": 32, "num_failed": 5}
    assert said.startswith("5 of 32 requests have no answer")


def test_a_run_that_is_killed_leaves_whole_lines_and_goes_on(nano, tmp_path):
    lines = [completion(f"c{i}", max_tokens=60, ignore_eos=True) for i in range(300)]
    source, target = write(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    process = subprocess.Popen(command(nano, source, target), stdout=subprocess.DEVNULL)
    wait_until(lambda: target.exists() and target.stat().st_size > 5000, timeout_s=30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    num_before = len(results(target))
    assert 0 < num_before < 300 and target.read_text().endswith("\n")
    report, _ = run(nano, source, target)
    assert report == {"num_requests": 300, "num_skipped": num_before, "num_failed": 0}
    assert len(results(target)) == len(target.read_text().splitlines()) == 300


def test_an_engine_that_is_killed_costs_no_answer(nano, tmp_path):
    lines = [completion(f"c{i}", max_tokens=60, ignore_eos=True) for i in range(200)]
    source, target = write(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    process = subprocess.Popen(command(nano, source, target), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: target.exists() and target.stat().st_size > 5000, timeout_s=30)
    engine_of(process).kill()
    told, _ = process.communicate(timeout=60)
    assert json.loads(told) == {"num_requests": 200, "num_skipped": 0, "num_failed": 0}
    whole = {e["response"]["body"]["usage"]["completion_tokens"] for e in results(target).values()}
    assert whole == {60}


def test_a_batch_waits_for_an_engine_that_is_long_in_coming(nano, tmp_path):
    lines = [completion(f"c{i}", max_tokens=400, ignore_eos=True) for i in range(40)]
    source, target = write(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    target.touch()
    process = subprocess.Popen(command(nano, source, target), stdout=subprocess.PIPE, text=True)
    for _ in range(2):  # the second takes requests along that the first had, too
        size = target.stat().st_size
        wait_until(lambda size=size: target.stat().st_size > size, timeout_s=30)
        engine = engine_of(process)
        engine.kill()
        engine.wait(10)
        wait_until(lambda: engines_of(process), timeout_s=30)
    late = engine_of(process)
    late.suspend()
    time.sleep(4)
    late.resume()
    told, _ = process.communicate(timeout=60)
    assert json.loads(told) == {"num_requests": 40, "num_skipped": 0, "num_failed": 0}


def engine_of(process):
    """The process of the engine that a run has started."""
    [engine] = engines_of(process)
    return engine


def engines_of(process):
    """None while the next one is being started."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "engine_process" in " ".join(child.cmdline())]
