"""Folders for what is needed for a while: what compilers write on the way to a build."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BuildError
from . import staging


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """A new folder in the folder `place`, until the block ends.

    First those go that dead processes have left there, by the lock of a build's own output.
    Raises BuildError where none can be made.
    """
    target = place / "scratch"
    try:
        staging.sweep(target)
        folder, lock = staging.make(target)
    except OSError as error:
        reason = error.strerror or error
        raise BuildError(
            f"cannot write {place}: {reason}; make room, or set TAPEOUT_CACHE"
        ) from None
    try:
        yield folder
    finally:
        staging.discard(folder)
        if lock is not None:
            os.close(lock)
