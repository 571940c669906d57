"""The journal of a search, beside its artifact: what was tried, a line each, as it happened.

A search that was ended in its midst, whatever ended it, goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, TypeAlias

import msgspec

from ..artifact.schema import Strict
from ..artifact.tuning_table import Configuration, Device, Entry, Key
from ..errors import InputError

Outcome: TypeAlias = Literal["faster", "slower", "wrong", "failed"]


class Begun(Strict, frozen=True, kw_only=True, tag="begun"):
    """The first line: what is searched, and where."""

    artifact_digest: str
    device: Device


class Trial(Strict, frozen=True, kw_only=True, tag="trial"):
    """A candidate that was compiled, checked and, where it was right, timed."""

    key: Key
    configuration: Configuration
    outcome: Outcome
    ratio: float | None = None  # of its time to that of the artifact's own choice; None: not timed
    reason: str | None = None  # why it has no time


class Found(Strict, frozen=True, kw_only=True, tag="found"):
    """An entry that was confirmed; a later one of the same key takes its place."""

    entry: Entry


class Dropped(Strict, frozen=True, kw_only=True, tag="dropped"):
    """Whole steps of that name were no faster with their entries, which are taken back."""

    steps: str


class Kept(Strict, frozen=True, kw_only=True, tag="kept"):
    """Whole steps of that name were faster with the entries that they have so far."""

    steps: str


Line: TypeAlias = Trial | Found | Dropped | Kept
_LINE = msgspec.json.Decoder(Begun | Trial | Found | Dropped | Kept)


class Journal:
    """Lines of a file that is only ever appended to. Raises InputError where it cannot be."""

    def __init__(self, path: Path, begun: Begun) -> None:
        self.path = path
        with self._reported():
            lines, num_bytes = _read(path)
        is_ours = lines[:1] == [begun]
        self.lines: list[Line] = []
        if is_ours:
            self.lines = [line for line in lines if not isinstance(line, Begun)]
            with self._opened("r+b") as file:
                file.truncate(num_bytes)  # a line that was torn
        else:
            self._write(begun, "wb")

    @property
    def trials(self) -> list[Trial]:
        """Of this search and the earlier ones."""
        return [line for line in self.lines if isinstance(line, Trial)]

    def add(self, line: Line) -> None:
        """Appends a line; it is there whatever happens to this process afterwards."""
        self.lines.append(line)
        self._write(line, "ab")

    def _write(self, line: Line | Begun, mode: str) -> None:
        with self._opened(mode) as file:
            file.write(msgspec.json.encode(line) + b"\n")

    @contextmanager
    def _opened(self, mode: str) -> Iterator[IO[bytes]]:
        """A full disk is told when the file is closed."""
        with self._reported(), open(self.path, mode) as file:
            yield file

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror or error}; copy the artifact to a "
                "folder that is writable and has room"
            ) from None


def _read(path: Path) -> tuple[list[Begun | Line], int]:
    """The lines up to the first that is not whole, and how many bytes they take."""
    lines: list[Begun | Line] = []
    num_bytes = 0
    for text in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        try:
            lines.append(_LINE.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        if not text.endswith(b"\n"):
            lines.pop()
            break
        num_bytes += len(text)
    return lines, num_bytes
