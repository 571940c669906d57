"""The lines of a batch's output, which are also the record of what need not be run again."""

import fcntl
import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import msgspec

from ...errors import InputError, TapeoutError, shown

_BEGINNING = b'{"id":"batch_req_'


class _Status(msgspec.Struct):
    status_code: int


class BatchResponse(_Status):
    """What the request was answered with."""

    request_id: str
    body: msgspec.Raw


class BatchError(msgspec.Struct):
    """Why the request was not asked at all."""

    code: str
    message: str


class BatchResult(msgspec.Struct, kw_only=True):
    """One request's end: either a response, which may tell of an error, or an error."""

    id: str
    custom_id: str
    response: BatchResponse | None
    error: BatchError | None


def result_of(custom_id: str, outcome: BatchResponse | BatchError) -> BatchResult:
    """The result with an id of its own."""
    return BatchResult(
        id=f"batch_req_{uuid4().hex}",
        custom_id=custom_id,
        response=outcome if isinstance(outcome, BatchResponse) else None,
        error=outcome if isinstance(outcome, BatchError) else None,
    )


def _is_torn(line: bytes) -> bool:
    """Whether it is the beginning of a result, which alone may be cut off."""
    size = min(len(line), len(_BEGINNING))
    return line[:size] == _BEGINNING[:size]


def _has_failed(response: _Status | None) -> bool:
    """Whether there is no answer of the model's."""
    return response is None or response.status_code != 200


class _Known(msgspec.Struct):
    """What is read of a line again."""

    id: str  # which a request has not: an output that is the input is none
    custom_id: str
    response: _Status | None = None


class ResultFile:
    """The output of one run at a time, open to add lines.

    `custom_ids` are those that it had when it was opened, `num_failed` counts all its requests
    that have no answer.

    A line is written by one call, so a run that is killed leaves whole lines. Were the last one
    torn all the same, by a disk that is full, it is cut off here and its request run again.

    Raises InputError for a file that holds something else, or that another run is writing.
    """

    def __init__(self, path: Path, known_ids: set[str]) -> None:
        self._path = path
        try:
            self._file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), "r+")
        except OSError as error:
            raise InputError(f"output {path} cannot be written: {error.strerror}") from None
        try:
            self._lock()
            self.custom_ids, self.num_failed = self._resume(known_ids)
        except InputError:
            self._file.close()
            raise

    def add(self, result: BatchResult) -> None:
        """Writes a line. Raises TapeoutError where the disk does not take it."""
        line = memoryview(msgspec.json.encode(result) + b"\n")
        try:
            while line:  # a disk that is nearly full takes a part, and then refuses
                line = line[self._file.write(line) :]
        except OSError as error:
            raise TapeoutError(
                f"output {self._path} cannot be written: {error.strerror}; then run this again"
            ) from None
        self.num_failed += _has_failed(result.response)

    def __enter__(self) -> "ResultFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"output {self._path} is being written by another run; let that end"
            ) from None

    def _resume(self, known_ids: set[str]) -> tuple[set[str], int]:
        found: set[str] = set()
        num_failed = end = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n") and _is_torn(line):
                    break
                known = self._known(line, number, known_ids)
                found.add(known.custom_id)
                num_failed += _has_failed(known.response)
                end += len(line)
        self._file.truncate(end)
        return found, num_failed

    def _known(self, line: bytes, number: int, known_ids: set[str]) -> _Known:
        try:
            known = msgspec.json.decode(line, type=_Known)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InputError(
                f"{self._path}:{number} is no result of a batch; name another output"
            ) from None
        if known.custom_id in known_ids:
            return known
        raise InputError(
            f"{self._path}:{number} has custom_id={shown(known.custom_id)}, which the input has "
            "not; name another output"
        )
