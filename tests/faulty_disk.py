"""A disk that fails: every change a build makes to it, one at a time."""

import errno
import os

from tapeout.artifact import files

OPERATIONS = ("make_folder", "create", "write", "sync", "close", "rename_to_new", "exchange")


class Disk:
    """Counts the operations of a build and makes the one numbered `failing` fail."""

    def __init__(self, monkeypatch, failing=None, half_way=False):
        self.log = []
        for name in OPERATIONS:
            monkeypatch.setattr(files, name, self._watched(name, getattr(files, name)))
        self._failing, self._half_way = failing, half_way

    def _watched(self, name, operation):
        def run(*arguments):
            self.log.append(name)
            if len(self.log) - 1 != self._failing:
                return operation(*arguments)
            if self._half_way and name == "write":
                operation(arguments[0], arguments[1][: len(arguments[1]) // 2])
            if name == "close":  # the descriptor is gone even when close reports an error
                operation(*arguments)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return run
