"""Every change that a build makes to a disk goes through here, so that tests can make each fail.

Callers write `files.write(...)`, never `from .files import write`.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import BuildError

ASIDE = ".aside"
_REMEDY = "give an output folder that is writable and has room"
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_AT_FDCWD = -100
_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def reported(path: Path, remedy: str = _REMEDY) -> Iterator[None]:
    """Turns an OSError of the block into a BuildError that names `path`."""
    try:
        yield
    except OSError as error:
        raise BuildError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error


def make_folder(path: Path) -> None:
    """Makes one new folder. Raises FileExistsError."""
    os.mkdir(path)


def make_parents(path: Path) -> None:
    """Makes the folders that are to hold `path`, where they are missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # which is what it says of a file in the place of a folder
        code = errno.ENOTDIR
        raise NotADirectoryError(code, os.strerror(code), str(path.parent)) from None


def create(path: Path) -> int:
    """Opens a new file for writing. Raises FileExistsError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def write(descriptor: int, data: memoryview) -> int:
    """Writes the first bytes of `data`, as many as the system takes; gives how many."""
    return os.write(descriptor, data)


def sync(descriptor: int) -> None:
    """Waits until the file or folder is on the disk."""
    os.fsync(descriptor)


def close(descriptor: int) -> None:
    """Closes a file; some systems report a failed write only here."""
    os.close(descriptor)


def rename_to_new(source: Path, target: Path) -> None:
    """Renames in one step. Raises FileExistsError when there is a target already."""
    try:
        _renameat2(source, target, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        if target.exists():  # a builder that comes between here and the rename: ENOTEMPTY
            raise FileExistsError(errno.EEXIST, "File exists", str(target)) from None
        os.rename(source, target)


def exchange(a: Path, b: Path) -> None:
    """Swaps two folders in one step.

    Where the file system cannot (it is Linux's RENAME_EXCHANGE), `b` steps aside first: for an
    instant there is no `b`; should the builder die then, the next one puts the old `b` back.
    """
    try:
        _renameat2(a, b, _RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        _exchange_in_steps(a, b)


def _exchange_in_steps(a: Path, b: Path) -> None:
    aside = a.with_name(a.name + ASIDE)
    os.rename(b, aside)
    try:
        os.rename(a, b)
    except OSError:
        os.rename(aside, b)
        raise
    with suppress(FileNotFoundError):  # swept by another builder already
        os.rename(aside, a)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(target))
    paths = (os.fsencode(source), os.fsencode(target))
    if function(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], ctypes.c_uint(flags)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def lock_folder(path: Path) -> int | None:
    """Locks a folder until the descriptor is closed or the process dies; None if another holds it.

    Raises OSError where folders cannot be locked.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_tree(path: Path) -> None:
    """Removes a folder and all in it; what is gone already is no error."""
    for folder, folders, names in os.walk(path, topdown=False):
        for name in (*names, *folders):
            _remove(os.path.join(folder, name))
    _remove(path)


def _remove(path: str | Path) -> None:
    with suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
