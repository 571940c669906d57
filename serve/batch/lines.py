"""The lines of a batch's input. All are looked at before any is run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...errors import InputError, shown


class BatchLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    custom_id: Annotated[str, Meta(min_length=1)]
    method: str
    url: str
    body: dict[str, Any]


_decode = msgspec.json.Decoder(BatchLine).decode


def read_lines(path: Path) -> Iterator[BatchLine]:
    """The requests in their order. Raises InputError that names the line."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield _read_line(text, f"{path}:{number}")
    except OSError as error:
        raise InputError(f"input {path} cannot be read: {error.strerror}") from None


def check_lines(path: Path) -> set[str]:
    """The ids of all requests. Raises InputError for a file that cannot be run as it is."""
    custom_ids: set[str] = set()
    for number, line in enumerate(read_lines(path), 1):
        if line.custom_id in custom_ids:
            raise InputError(
                f"custom_id={shown(line.custom_id)} is there twice, again in request {number} of "
                f"{path}; answers could not be told apart"
            )
        custom_ids.add(line.custom_id)
    return custom_ids


def _read_line(text: bytes, place: str) -> BatchLine:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{place} is no request: {error}; a line has custom_id, method, url and body"
        ) from None
