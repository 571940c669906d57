"""Reads JSON that may be hostile: bounded in bytes and depth, no key twice, finite numbers."""

import json
import math
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..errors import CheckpointError

MAX_BYTES = 16 << 20
MAX_DEPTH = 64
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_json_object(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The object in the file. Raises CheckpointError."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise CheckpointError(path, "file", error.strerror, "a readable file") from None
    if len(data) > max_bytes:
        raise CheckpointError(path, "bytes", f"more than {max_bytes}", f"at most {max_bytes}")
    return parse_json_object(data, path, "JSON")


def parse_json_object(data: bytes, path: Path, field: str) -> dict[str, Any]:
    """The object in `data`, which stands in the `field` of a file. Raises CheckpointError."""
    if _is_too_deep(data):
        raise CheckpointError(path, field, "deeper nesting", f"at most {MAX_DEPTH} levels")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except ValueError as error:  # also UnicodeDecodeError and integers of thousands of digits
        raise CheckpointError(path, field, str(error), "strict JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise CheckpointError(path, field, type(value).__name__, "an object")
    return value


def _is_too_deep(data: bytes) -> bool:
    brackets = _STRINGS.sub(b"", data).translate(None, _NOT_BRACKETS)
    depths = accumulate(1 if bracket in b"[{" else -1 for bracket in brackets)
    return any(depth > MAX_DEPTH for depth in depths)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the key {name!r} twice")
        result[name] = value
    return result


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text}")
    return value
