"""A server of its own processes, as a user starts it."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress

import httpx
import psutil

_URL = re.compile(r"listens at (http://\S+)")


class Server:
    """A running `tapeout serve`."""

    def __init__(self, model, *options):
        command = [
            sys.executable,
            "-m",
            "tapeout.cli",
            "serve",
            str(model),
            "--port",
            "0",
            *options,
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            if found := _URL.search(line):
                self.url = found[1]
                break
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_ready(self, timeout_s=60.0):
        """Until a request would be answered."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            try:
                if httpx.get(f"{self.url}/ready", timeout=1).status_code in (200, 401):
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError("".join(self.log))

    def children(self, module):
        """The processes of a module of the server's that live."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # it may end while it is looked at
                if module in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def cpu_s(self, module):
        """CPU time of these processes so far."""
        times = [child.cpu_times() for child in self.children(module)]
        return sum(t.user + t.system for t in times)

    def engine(self):
        """The engine's process."""
        [engine] = self.children("engine_process")
        return engine

    def stop(self, number=signal.SIGTERM, timeout_s=30):
        """Sends a signal, waits, and gives the exit code; nothing of it may be left."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        _, alive = psutil.wait_procs(family, timeout=3)
        assert alive == [], "processes are left behind"
        return code

    def close(self):
        """Ends it at once, if it has not ended."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)


@contextmanager
def serving(model, *options):
    """A server that is ready, and is stopped at the end."""
    server = Server(model, *options)
    try:
        yield server.wait_ready()
    finally:
        server.close()


def metrics(server):
    """The server's own numbers, without their prefix; those of all labels together."""
    found = defaultdict(float)
    for line in httpx.get(f"{server.url}/metrics").text.splitlines():
        if line.startswith("tapeout:"):
            name, value = line.removeprefix("tapeout:").rsplit(" ", 1)
            found[name.partition("{")[0]] += float(value)
    return found


def wait_until(what, timeout_s=10.0):
    """Until something holds."""
    end_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.02)
