"""Files beside artifacts are written whole, or not at all."""

from pathlib import Path

import pytest

from tapeout.artifact.beside import beside, check_file, check_place, write_whole
from tapeout.errors import InputError


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a file.json"
    for data in (b"first", b"second"):
        write_whole(path, data)
    assert path.read_bytes() == b"second" and list(tmp_path.iterdir()) == [path]


def test_a_folder_in_its_place_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    for refuse in (check_file, lambda path: write_whole(path, b"data")):
        with pytest.raises(InputError, match="cannot write .*folder: it is a folder; give a file"):
            refuse(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_missing_folder_is_refused_beforehand_by_name(tmp_path):
    check_place(tmp_path / "new.json")
    with pytest.raises(InputError, match="none is missing, read-only or no folder; use a folder"):
        check_place(tmp_path / "none" / "new.json")


def test_a_file_in_the_place_of_its_folder_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for refuse in (check_place, lambda path: write_whole(path, b"data")):
        with pytest.raises(InputError, match="file is missing, read-only or no folder; use a"):
            refuse(tmp_path / "file" / "new.json")


def test_what_is_beside_an_artifact_is_found_wherever_it_is_named_from(tmp_path, monkeypatch):
    (tmp_path / "model" / "weights").mkdir(parents=True)
    for here, name in (("", "model"), ("model", "."), ("model/weights", "..")):
        monkeypatch.chdir(tmp_path / here)
        assert beside(Path(name), "table") == tmp_path / "model.table"
    assert beside(Path("/"), "table") == Path("/.table")


def test_a_device_or_a_link_is_written_to_and_stays(tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    link.symlink_to(file)
    for path in (link, Path("/dev/null")):
        check_file(path)
        write_whole(path, b"data")
    assert link.is_symlink() and file.read_bytes() == b"data"
    assert Path("/dev/null").is_char_device()
