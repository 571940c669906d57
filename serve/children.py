"""Starts the supervisor's child processes, and ends them."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from signal import SIGKILL, SIGTERM

import msgspec

from .child import ChildSpec

_KILL_S = 2.0  # from asking a process to end to making it


class Child:
    """A process of a module of ours, started with its spec as input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(
        cls, module: str, spec: ChildSpec, fds: Sequence[int], variables: Mapping[str, str] = {}
    ) -> "Child":
        """Runs `module` of this package in a process group of its own.

        So a terminal's interrupt reaches the supervisor alone.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"{__package__}.{module}",
            stdin=asyncio.subprocess.PIPE,
            pass_fds=fds,
            process_group=0,
            env={**os.environ, **variables},
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(spec))
        with suppress(
            ConnectionError
        ):  # of a process that has ended: whoever waits for it will see
            await process.stdin.drain()
        process.stdin.close()
        return cls(process)

    async def wait(self) -> int:
        """Its exit code; below 0 the signal that has ended it."""
        return await self._process.wait()

    def signal(self, number: int) -> None:
        """Sends a signal, if it still lives."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, number: int = SIGTERM) -> None:
        """Asks it to end, then makes it; gives when it has."""
        self.signal(number)
        try:
            await asyncio.wait_for(self.wait(), _KILL_S)
        except TimeoutError:
            self.signal(SIGKILL)
            await self.wait()
