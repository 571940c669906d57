"""Every write, rename and fsync of a build fails in turn: the old artifact stays."""

import errno
import os

import pytest
from small_artifact import label_of, write_small_artifact

from tapeout.artifact import files
from tapeout.errors import BuildError

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


def operations_of_a_build(path):
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch)
        write_small_artifact(path, "new")
    return disk.log


@pytest.mark.parametrize("half_way", [False, True], ids=["at_once", "half_way"])
@pytest.mark.parametrize("exists", [False, True], ids=["first_build", "rebuild"])
def test_whatever_fails_the_old_artifact_stays_and_nothing_else(tmp_path, exists, half_way):
    def prepared(name):
        folder = tmp_path / name
        folder.mkdir()
        return write_small_artifact(folder / "m", "old") if exists else folder / "m"

    log = operations_of_a_build(prepared("counted"))
    assert {"write", "sync", "close", "rename_to_new"} <= set(log)
    assert ("exchange" in log) == exists
    for number, operation in enumerate(log):
        path = prepared(str(number))
        descriptors = len(os.listdir("/proc/self/fd"))
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, failing=number, half_way=half_way)
            with pytest.raises(BuildError, match="No space left on device"):
                write_small_artifact(path, "new")
        assert os.listdir(path.parent) == (["m"] if exists else []), operation
        assert not exists or label_of(path) == "old"
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert label_of(write_small_artifact(path, "new")) == "new"


def test_writes_cut_short_by_the_system_are_carried_on(tmp_path, monkeypatch):
    write = files.write
    monkeypatch.setattr(files, "write", lambda fd, data: write(fd, data[:7]))
    assert label_of(write_small_artifact(tmp_path / "m")) == "new"


def test_an_old_artifact_that_cannot_be_removed_is_left_to_the_next_build(tmp_path, monkeypatch):
    path = write_small_artifact(tmp_path / "m", "old")

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(files, "remove_tree", refuse)
        write_small_artifact(path, "new")
    assert label_of(path) == "new"
    assert len(os.listdir(tmp_path)) == 2
    write_small_artifact(path, "newer")
    assert os.listdir(tmp_path) == ["m"]
