"""Files that a command writes beside artifacts: certificates, tables, pages."""

import os
from pathlib import Path

from ..errors import InputError

_REMEDY = "use a folder that is writable and has room"


def beside(artifact: Path, ending: str) -> Path:
    """The file `<name>.<ending>` beside an artifact, which may be named by `.` or `..`."""
    artifact = Path(os.path.abspath(artifact))
    return artifact.parent / f"{artifact.name}.{ending}"


def check_place(path: Path) -> None:
    """Refuses a path that could not be written, before long work. Raises InputError."""
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        reason = f"{folder} is missing, read-only or no folder"
        raise InputError(f"cannot write {path}: {reason}; {_REMEDY}")


def check_file(path: Path) -> None:
    """Refuses a path where no file could be written, before long work. Raises InputError."""
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; give a file")
    if not _stays(path):
        check_place(path)


def _stays(path: Path) -> bool:
    """Whether it is a device, a pipe or a link, which a new file must not take the place of."""
    return path.is_symlink() or (path.exists() and not path.is_file())


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file in one step: who reads meanwhile has the old one. Raises InputError."""
    check_file(path)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if _stays(path):
            path.write_bytes(data)
        else:
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; {_REMEDY}") from None
    finally:
        part.unlink(missing_ok=True)
