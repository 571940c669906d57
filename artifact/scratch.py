"""Folders for what is needed for a while: what compilers write on the way to a build."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from . import files, staging

_REMEDY = "make room there, or set TAPEOUT_CACHE to a folder that is writable and has room"


@contextmanager
def scratch_folder(objects: Path) -> Iterator[Path]:
    """A new folder in `objects`, the folder of compiled objects, until the block ends.

    First those go that dead processes have left there, by the lock of a build's own output.
    Raises BuildError where none can be made.
    """
    place = objects / "scratch"
    with objects_reported(objects):
        staging.sweep(place)
        folder, lock = staging.make(place)
    try:
        yield folder
    finally:
        staging.discard(folder)
        if lock is not None:
            os.close(lock)


def objects_reported(objects: Path) -> AbstractContextManager[None]:
    """Turns an OSError of the block, which writes to `objects`, into a BuildError."""
    return files.reported(objects, _REMEDY)
