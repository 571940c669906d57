"""A server whose GPU fails or hangs while it is asked: every request has one end."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from cuda_models import fake_cuda
from server import Server, serving, wait_until

__all__ = ["fake_cuda"]

NUM_REQUESTS = 24


@pytest.fixture
def model(fake_cuda, tmp_path, monkeypatch):
    """The fake model; the server's processes find the fake driver as they would a real one."""
    shutil.copy(fake_cuda[1]._name, tmp_path / "libcuda.so.1")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    return fake_cuda[0]


def ask(server, number):
    """Asks, every second request for a stream, and sees that there is one end."""
    body = {"prompt": [5, 6, 7 + number], "max_tokens": 30, "ignore_eos": True}
    body["stream"] = bool(number % 2)
    response = httpx.post(f"{server.url}/v1/completions", json=body, timeout=30)
    num_whole = response.text.count('"finish_reason":"length"')
    assert num_whole + response.text.count('"code":"engine_restarted"') == 1, response.text
    statuses = {200} if num_whole else {200, 503} if number % 2 else {503}
    assert response.status_code in statuses


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cuEventSynchronize:40", "the engine ends.*cuEventSynchronize: CUDA_ERROR_ILLEGAL_ADDR"),
        ("cuEventSynchronize:40=-100", "engine hangs"),
    ],
)
def test_a_gpu_that_fails_under_load_costs_each_request_one_clear_end(
    model, monkeypatch, fault, words
):
    monkeypatch.setenv("FAKE_CUDA_FAIL", fault)
    monkeypatch.setenv("FAKE_CUDA_LOST", "1")
    with serving(model, "--step-timeout-s", "1.5") as server:
        with ThreadPoolExecutor(NUM_REQUESTS) as pool:
            list(pool.map(partial(ask, server), range(NUM_REQUESTS)))
        assert re.search(words, "".join(server.log))
        server.wait_ready()
        assert server.stop() == 0


def test_a_gpu_whose_memory_others_have_ends_the_server_with_the_numbers(model, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_OTHERS_BYTES", str((1 << 30) - 1000))
    server = Server(model)
    try:
        assert server.process.wait(30) == 2
        wait_until(lambda: " of the GPU's 1073741824 are free" in "".join(server.log))
    finally:
        server.close()
