"""Processes that compile, each with one job at a time; they stay until they are closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ...artifact.scratch import scratch_folder
from ...errors import BuildError

T = TypeVar("T")
Run = Callable[[dict[str, Any]], None]
"""Has a worker do a job; raises BuildError with what it says."""


class Workers:
    """As many processes as there are cores at most; one is started when all others have a job.

    What Triton keeps for itself goes to a folder in ``objects`` and is of no use afterwards;
    ``num_free`` cores are left to whoever wants them.
    """

    def __init__(self, objects: Path, num_free: int = 0) -> None:
        self._pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - num_free))
        self._own, self._processes = threading.local(), list[subprocess.Popen[str]]()
        self._closing = ExitStack()
        self._folder = self._closing.enter_context(scratch_folder(objects))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, task: Callable[[Run], T]) -> Future[T]:
        """What a task gives that has a worker for itself."""
        return self._pool.submit(lambda: task(self._run))

    def close(self) -> None:
        """Ends the processes once the jobs that they have are done; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            process.communicate()
        self._closing.close()

    def _run(self, job: dict[str, Any]) -> None:
        process = self._process()
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        error = json.loads(answer)["error"] if answer else "its process ended"
        if error is not None:
            raise BuildError(f"Triton could not compile a kernel: {job['name']}: {error}")

    def _process(self) -> subprocess.Popen[str]:
        """The thread's own, which is another if it has ended."""
        found: subprocess.Popen[str] | None = getattr(self._own, "process", None)
        if found is None or found.poll() is not None:
            found = self._own.process = _start(self._folder)
            self._processes.append(found)
        return found


def _start(cache: Path) -> subprocess.Popen[str]:
    environment = {"TRITON_DISABLE_LINE_INFO": "1", "TRITON_INTERPRET": "0"}
    environment = os.environ | environment | {"TRITON_CACHE_DIR": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-m", "tapeout.codegen.triton.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
