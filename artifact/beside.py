"""Files that a command writes beside artifacts: certificates, tables, pages."""

import os
from pathlib import Path

from ..errors import InputError

_REMEDY = "use a folder that is writable and has room"


def check_place(path: Path) -> None:
    """Refuses a path that could not be written, before long work. Raises InputError."""
    folder = path.absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: {folder} is missing or read-only; {_REMEDY}")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file in one step: who reads meanwhile has the old one. Raises InputError."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; {_REMEDY}") from None
    finally:
        part.unlink(missing_ok=True)
