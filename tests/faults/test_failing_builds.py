"""Every write, rename and fsync of a build fails in turn: the old artifact stays."""

import errno
import os
import shutil

import pytest
from faulty_disk import Disk
from small_artifact import label_of, write_small_artifact

from tapeout.artifact import files
from tapeout.errors import BuildError


@pytest.mark.parametrize("half_way", [False, True], ids=["at_once", "half_way"])
@pytest.mark.parametrize("exists", [False, True], ids=["first_build", "rebuild"])
def test_whatever_fails_the_old_artifact_stays_and_nothing_else(tmp_path, exists, half_way):
    old = write_small_artifact(tmp_path / "old", "old")

    def folder_for(name):
        (tmp_path / name).mkdir()
        return shutil.copytree(old, tmp_path / name / "m") if exists else tmp_path / name / "m"

    for number, operation in enumerate(operations_of_a_build(folder_for("counted"), exists)):
        if half_way and operation != "write":
            continue
        path, descriptors = folder_for(str(number)), os.listdir("/proc/self/fd")
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, failing=number, half_way=half_way)
            with pytest.raises(BuildError, match="No space left on device"):
                write_small_artifact(path, "new")
        assert os.listdir(path.parent) == (["m"] if exists else []), operation
        assert not exists or label_of(path) == "old"
        assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert label_of(write_small_artifact(path, "new")) == "new"


def operations_of_a_build(path, exists):
    """What a build does to the disk, in order."""
    with pytest.MonkeyPatch.context() as patch:
        log = Disk(patch).log
        write_small_artifact(path, "new")
    assert {"make_folder", "create", "write", "sync", "close", "rename_to_new"} <= set(log)
    assert ("exchange" in log) == exists
    return log


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
