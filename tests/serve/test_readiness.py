import asyncio

import httpx
from server import Server, wait_until

from tapeout.serve.readiness import readiness, tell_ready

SHORT = {"prompt": "one two", "max_tokens": 1}


def told(*indices, num_fronts=2):
    """How often it was said that all is ready, after each front told."""
    said = []

    async def main():
        counts = []
        with readiness(num_fronts, lambda: said.append("ready")) as fd:
            for index in indices:
                tell_ready(fd, index)
                await asyncio.sleep(0.01)
                counts.append(len(said))
        return counts

    return asyncio.run(main())


def test_a_server_is_ready_when_all_its_fronts_are():
    assert told(1, 0) == [0, 1]
    assert told(300, *range(300), num_fronts=301) == [0] * 300 + [1]


def test_a_front_that_was_started_anew_tells_again_and_nothing_is_said():
    assert told(1, 1, 0, 0, 1) == [0, 0, 1, 1, 1]


def ready_lines(server):
    return [line for line in server.log if "is ready, served at" in line]


def test_a_server_says_where_it_listens_then_once_that_it_is_ready(nano):
    server = Server(nano, "--num-threads", "1", "--num-fronts", "2")
    try:
        assert server.log[-1] == f"tapeout: listens at {server.url} while {nano} is loaded\n"
        wait_until(lambda: ready_lines(server))
        answers = [httpx.post(f"{server.url}/v1/completions", json=SHORT) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 8
        server.engine().kill()
        wait_until(lambda: sum("engine ready" in line for line in server.log) == 2)
        server.wait_ready()
        assert ready_lines(server) == [f"tapeout: {nano} is ready, served at {server.url}\n"]
    finally:
        server.close()
