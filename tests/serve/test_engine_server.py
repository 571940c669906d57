"""The engine's loop, turned by hand: what fronts send, how they go, and what is free afterwards."""

import os
import socket

import numpy as np
import pytest
from fake_model import reference

from tapeout.runtime.engine_core import EngineCore
from tapeout.runtime.limits import Limits
from tapeout.runtime.load import open_model
from tapeout.runtime.request import Cancel, Request
from tapeout.runtime.wire import decode, encode
from tapeout.serve.engine_server import EngineServer
from tapeout.serve.frames import FrameReader, Hello, Orders, Update, framed
from tapeout.serve.pulse import SERVED, Pulse

LONG = [(7 * i + 1) % 300 for i in range(100)]


class Front:
    """A front's end of a connection."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self._reader, self.hello, self.updates = FrameReader(), None, []

    def send(self, **orders):
        self.socket.sendall(framed(encode(Orders(**orders))))

    def ask(self, name, prompt, **fields):
        fields = {"max_tokens": 40, "watched": True} | fields
        self.send(requests=[Request(request_id=name, prompt_token_ids=np.int32(prompt), **fields)])

    def read(self):
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        for message in self._reader.feed(data):
            if self.hello is None:
                self.hello = decode(message, Hello)
            else:
                self.updates.append(decode(message, Update))

    def tokens(self, name):
        said = []
        for report in (update.report for update in self.updates if update.report):
            for row in report.progress:
                if row.request_id == name:
                    said.append(int(report.result.token_ids[row.first_row]))
        return said

    def ends(self):
        reports = [update.report for update in self.updates if update.report]
        return {end.request_id: end for report in reports for end in report.finished}


class Loop:
    """An engine's server over the fake model, with a pipe for its pulse."""

    def __init__(self, loaded, address):
        self.core = EngineCore(loaded.executor, loaded.scheduler(), loaded.grammars(None))
        self.address = str(address)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.address)
        listener.listen()
        self.pulse, fd = os.pipe()
        hello = Hello(0, "", loaded.bounds(), 4, True, {}, "cpu")
        self.server = EngineServer(self.core, listener, lambda _: hello, Pulse(fd))
        self.fronts, self._open = [], [listener]

    def front(self):
        front = Front(self.address)
        self.fronts.append(front)
        self.turn()
        return front

    def turn(self, count=1):
        for _ in range(count):
            self.server.turn(0)
            for front in self.fronts:
                front.read()

    def turn_until_idle(self):
        self.turn()
        while not self.core.is_idle:
            self.turn()
        self.turn()

    @property
    def num_free(self):
        return self.core.scheduler.cache.num_free_pages()

    @property
    def num_pages(self):
        return self.core.scheduler.cache.num_pages()


@pytest.fixture(scope="module")
def loaded(fake):
    limits = Limits(max_num_seqs=4, max_num_batched_tokens=24)
    loaded = open_model(fake, limits, num_threads=1)
    yield loaded
    loaded.executor.close()


@pytest.fixture
def loop(loaded, tmp_path):
    loop = Loop(loaded, tmp_path / "engine")
    yield loop
    loop.turn_until_idle()
    for opened in [*loop._open, *(front.socket for front in loop.fronts)]:
        opened.close()
    loop.server.close()
    os.close(loop.pulse)


def test_each_front_gets_the_tokens_of_its_own_requests(loop):
    fronts = [loop.front(), loop.front()]
    prompts = [[1], [2, 3], LONG]
    for front in fronts:
        for index, prompt in enumerate(prompts):
            front.ask(f"{fronts.index(front)}.{index}", prompt, max_tokens=9)
    loop.turn_until_idle()
    for place, front in enumerate(fronts):
        assert front.ends().keys() == {f"{place}.{index}" for index in range(3)}
        for index, prompt in enumerate(prompts):
            name, wanted = f"{place}.{index}", reference(prompt, 9)
            assert front.ends()[name].token_ids == wanted
            assert front.tokens(name) == wanted[: len(front.tokens(name))]


def test_who_does_not_watch_is_told_the_end_alone(loop):
    front = loop.front()
    front.ask("0.0", [1], watched=False, max_tokens=9)
    loop.turn_until_idle()
    assert front.tokens("0.0") == [] and len(front.ends()["0.0"].token_ids) == 9


@pytest.mark.parametrize("how", ["cancels", "leaves"])
@pytest.mark.parametrize("num_turns", [0, 1, 2, 5, 7, 12])
def test_whoever_goes_at_any_stage_frees_the_pages_within_two_steps(loop, how, num_turns):
    keeps = loop.front()
    goes = loop.front()
    keeps.ask("0.0", [9], max_tokens=30)
    for index in range(6):  # more than there are slots: some are queued, some in their prompts
        goes.ask(f"1.{index}", LONG, max_tokens=100)
    loop.turn(num_turns)
    if how == "leaves":
        goes.socket.close()
        loop.fronts.remove(goes)
    else:
        goes.send(cancels=[Cancel(f"1.{index}", "abort") for index in range(6)])
    loop.turn()  # which reads that they go
    num_steps = loop.server.num_steps
    while loop.core.scheduler.num_unfinished > 1 or loop.num_free[0] < loop.num_pages[0] - 3:
        loop.turn()
    assert loop.server.num_steps - num_steps <= 2
    loop.turn_until_idle()
    assert keeps.ends()["0.0"].token_ids == reference([9], 30)
    assert loop.num_free == loop.num_pages
    loop.core.scheduler.cache.check_integrity()


@pytest.mark.parametrize(("asks", "level"), [(True, "WARNING"), (False, "INFO")])
def test_a_front_that_goes_is_a_warning_where_it_takes_requests_along(loop, caplog, asks, level):
    caplog.set_level("INFO")
    goes = loop.front()
    if asks:
        goes.ask("0.0", LONG, max_tokens=100)
        loop.turn()
    goes.socket.close()
    loop.fronts.remove(goes)
    loop.turn(2)
    [lost] = [record for record in caplog.records if record.message == "front lost"]
    assert (lost.levelname, lost.num_requests) == (level, int(asks))


def test_a_front_that_ended_before_it_was_greeted_takes_nobody_along(loop):
    keeps, gone = loop.front(), Front(loop.address)
    keeps.ask("0.0", [9], max_tokens=20)
    gone.socket.close()  # it waits with the listener, as it would where no engine is there yet
    loop.turn_until_idle()
    assert keeps.ends()["0.0"].token_ids == reference([9], 20)


def test_a_front_that_talks_nonsense_is_dropped_and_others_go_on(loop):
    keeps, bad = loop.front(), loop.front()
    keeps.ask("0.0", [9], max_tokens=20)
    bad.ask("1.0", [5], max_tokens=100)
    loop.turn(3)
    bad.socket.sendall(framed(b"\xc1 nonsense"))
    loop.turn_until_idle()
    assert keeps.ends()["0.0"].token_ids == reference([9], 20)
    assert bad.socket.recv(1) == b"" if not bad.updates else True
    assert loop.num_free == loop.num_pages


def test_a_front_that_does_not_read_holds_up_nobody(loop):
    keeps, deaf = loop.front(), loop.front()
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    loop.fronts.remove(deaf)
    for index in range(300):
        deaf.ask(f"1.{index}", [5], max_tokens=3)
        loop.turn()
    keeps.ask("0.0", [9], max_tokens=20)
    loop.turn_until_idle()
    assert keeps.ends()["0.0"].token_ids == reference([9], 20)
    loop.fronts.append(deaf)
    loop.turn(50)
    assert len(deaf.ends()) == 300


def test_the_load_is_told_when_all_is_done(loop):
    front = loop.front()
    front.ask("0.0", LONG)
    loop.turn_until_idle()
    load = [update.load for update in front.updates if update.load][-1]
    assert (load.num_running, load.num_waiting) == (0, 0)
    assert load.num_free_kv_pages == load.num_kv_pages
    assert load.num_steps >= 40


def test_the_supervisor_hears_that_something_was_served(loop):
    loop.turn()
    assert SERVED not in os.read(loop.pulse, 100)
    loop.front().ask("0.0", [1], max_tokens=2)
    loop.turn_until_idle()
    assert SERVED in os.read(loop.pulse, 100)
