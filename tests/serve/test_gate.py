"""What never reaches a route: strangers, what is no request, and what is too long or too slow."""

import json
import socket
import time
from contextlib import ExitStack, suppress

import httpx
import pytest
from server import metrics, serving, wait_until

BODY = {"prompt": "a", "max_tokens": 2, "temperature": 0}
COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def strict(nano, tmp_path_factory):
    """A server with keys and narrow bounds."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text("second\n\nthïrd\n")
    options = ["--api-key", "first", "--api-key-file", str(keys), "--num-threads", "1"]
    options += ["--max-body-bytes", "2000", "--max-header-bytes", "4096", "--read-timeout-s", "1"]
    options += ["--max-output-tokens", "50", "--allowed-origin", "http://ui.example"]
    with serving(nano, *options) as server:
        yield server


def connected(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def raw(server, data, wait_s=0.0):
    """Sends bytes; gives the status and the body of what comes back until the end."""
    with connected(server) as connection:
        for part in data if isinstance(data, list) else [data]:
            with suppress(BrokenPipeError):  # of a server that has heard enough
                connection.sendall(part)
            time.sleep(wait_s)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return int(answer.split(b" ")[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first"},
        {"Authorization": "bearer second"},
        {"Authorization": "Bearer thïrd".encode()},
        {"x-api-key": "first"},
    ],
)
def test_any_of_the_keys_is_let_in(strict, headers):
    answer = httpx.post(strict.url + COMPLETIONS, json=BODY, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer firs"},
        {"Authorization": "Bearer first2"},
        {"Authorization": "Basic first"},
        {"Authorization": "first"},
        [("Authorization", "Bearer first"), ("Authorization", "Bearer nobody")],
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "k" * 3000},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [COMPLETIONS, "/metrics", "/openapi.json", "/ready", "/nothing"])
def test_strangers_are_let_nowhere_but_to_the_liveness(strict, headers, path):
    answer = httpx.post(strict.url + path, json=BODY, headers=headers)
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(strict.url + path, headers=headers).status_code == 401
    assert httpx.get(f"{strict.url}/live", headers=headers).status_code == 200


def test_a_body_that_is_too_long_is_refused_before_it_is_read(strict):
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nAuthorization: Bearer first\r\n"
    status, body = raw(strict, head.encode() + b"Connection: close\r\nContent-Length: 2001\r\n\r\n")
    assert status == 413 and json.loads(body)["error"]["code"] == "body_too_long"
    chunked = b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, _ = raw(strict, head.encode() + chunked + b"7d1\r\n" + b"a" * 2001 + b"\r\n0\r\n\r\n")
    assert status == 413


def test_a_head_that_is_too_long_or_too_slow_is_refused(strict):
    start = b"GET /live HTTP/1.1\r\n"
    assert raw(strict, start + b"x: " + b"a" * 5000)[0] == 431
    assert raw(strict, [start] + [b"x: y\r\n"] * 6, wait_s=0.3)[0] == 408
    assert raw(strict, b"")[0] == 408


@pytest.mark.parametrize(
    ("connection", "behind", "is_whole"),
    [("close", b"\r\n", True), ("keep-alive", b"nonsense", False)],
)
def test_what_comes_while_a_request_is_answered_is_not_refused_within_the_answer(
    nano, connection, behind, is_whole
):
    asked = {"prompt": "a", "max_tokens": 1900, "temperature": 0, "ignore_eos": True}
    body = json.dumps(asked | {"stream": True}).encode()
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nConnection: {connection}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with serving(nano, "--read-timeout-s", "0.2", "--num-threads", "1") as server:
        with connected(server) as client:
            client.sendall(head.encode() + body)
            answer = client.recv(65536)
            client.sendall(behind)
            while part := client.recv(65536):
                answer += part
    assert answer.startswith(b"HTTP/1.1 200") and b"Refused" not in answer
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") == is_whole


def test_a_body_that_is_too_slow_is_refused(strict):
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nAuthorization: Bearer first\r\n"
    head += "Connection: close\r\nContent-Length: 100\r\n\r\n"
    assert raw(strict, [head.encode(), b"{", b" "], wait_s=0.1)[0] == 408


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(strict, data):
    assert raw(strict, data)[0] == 400


def test_a_browser_is_let_in_from_the_pages_that_are_allowed_alone(strict, server):
    ask = {"Access-Control-Request-Method": "POST", "Origin": "http://ui.example"}
    allowed = httpx.options(strict.url + COMPLETIONS, headers=ask)
    assert allowed.headers["access-control-allow-origin"] == "http://ui.example"
    other = httpx.options(strict.url + COMPLETIONS, headers=ask | {"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    for_nobody = httpx.options(server.url + COMPLETIONS, headers=ask)
    assert "access-control-allow-origin" not in for_nobody.headers


def test_more_output_than_is_allowed_is_refused(strict):
    key = {"Authorization": "Bearer first"}
    answer = httpx.post(strict.url + COMPLETIONS, json=BODY | {"max_tokens": 51}, headers=key)
    assert answer.status_code == 400 and "more than 50" in answer.json()["error"]["message"]
    chat = {"messages": [{"role": "user", "content": "a"}], "ignore_eos": True}
    answer = httpx.post(f"{strict.url}/v1/chat/completions", json=chat, headers=key)
    assert answer.json()["usage"]["completion_tokens"] == 50


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"prompt": "a"} {}', "application/json", 400),
        (b'\xef\xbb\xbf{"prompt": "a"}', "application/json", 400),
        (b'{"prompt": "\xff"}', "application/json", 400),
        (b'{"prompt": "\\ud800"}', "application/json", 400),
        (b'{"prompt": "a", "temperature": NaN}', "application/json", 400),
        (b'{"prompt": "a", "temperature": 1e400}', "application/json", 400),
        (b'{"prompt": "a", "n": ' + b"1" * 100_000 + b"}", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"prompt": ' + b"[" * 100_000, "application/json", 400),
        (b'{"chat_template_kwargs": ' + b'{"a":' * 100_000, "application/json", 400),
        (b'{"prompt": "a", "max_tokens": 1}', "application/json; charset=utf-8", 200),
        (b'{"prompt": "a", "max_tokens": 1}', "text/plain", 415),
        (b"prompt=a", "application/x-www-form-urlencoded", 415),
    ],
    ids=range(16),
)
def test_a_body_that_is_no_json_record_is_refused(server, content, kind, status):
    started_s = time.monotonic()
    answer = httpx.post(server.url + COMPLETIONS, content=content, headers={"content-type": kind})
    assert answer.status_code == status and time.monotonic() - started_s < 1
    assert status == 200 or answer.json()["error"]["message"]


def test_what_is_not_there_is_said_in_the_same_shape(server):
    for method, path, status in [("GET", "/nothing", 404), ("DELETE", COMPLETIONS, 405)]:
        answer = httpx.request(method, server.url + path)
        message = answer.json()["error"]["message"]
        assert answer.status_code == status and message.startswith(f"{method} {path}: ")


def test_no_log_line_holds_a_prompt_or_an_answer(server):
    secret = "quokka"
    httpx.post(server.url + COMPLETIONS, json=BODY | {"prompt": secret})
    httpx.post(server.url + COMPLETIONS, json=BODY | {"prompt": secret, "nonsense": secret})
    time.sleep(0.1)
    assert [line for line in server.log if secret in line] == []
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    assert any(line.get("path") == COMPLETIONS and line["status"] == 200 for line in lines)


def test_a_key_with_too_many_requests_is_told_so(nano):
    options = ["--api-key", "a", "--api-key", "b", "--max-requests-per-key", "2"]
    with serving(nano, *options, "--num-threads", "1") as server:
        url, keys = server.url + COMPLETIONS, [{"x-api-key": key} for key in "ab"]
        long = BODY | {"max_tokens": 1500, "ignore_eos": True, "stream": True}
        with ExitStack() as streams:
            asked = [httpx.stream("POST", url, json=long, headers=keys[0]) for _ in range(2)]
            lines = [streams.enter_context(one).iter_lines() for one in asked]
            assert all(map(next, lines))
            refused = httpx.post(url, json=BODY, headers=keys[0])
            assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
            assert httpx.post(url, json=BODY, headers=keys[1]).status_code == 200
        wait_until(lambda: httpx.post(url, json=BODY, headers=keys[0]).status_code == 200)


def test_a_client_that_stops_reading_is_given_up(nano):
    # far more than the buffers of both ends hold
    body = BODY | {"max_tokens": 1900, "n": 8, "temperature": 1, "ignore_eos": True}
    content = json.dumps(body | {"logprobs": 20, "stream": True}).encode()
    with serving(nano, "--write-timeout-s", "0.5") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host, int(port)))
            head = f"POST {COMPLETIONS} HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n"
            deaf.sendall(head.encode() + content)
            wait_until(lambda: any("stopped reading" in line for line in server.log), 20)
            wait_until(lambda: metrics(server)["num_requests_running"] == 0)
