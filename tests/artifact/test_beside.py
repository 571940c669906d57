"""Files beside artifacts are written whole, or not at all."""

import pytest

from tapeout.artifact.beside import check_place, write_whole
from tapeout.errors import InputError


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a file.json"
    for data in (b"first", b"second"):
        write_whole(path, data)
    assert path.read_bytes() == b"second" and list(tmp_path.iterdir()) == [path]


def test_a_folder_in_its_place_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write .*folder: Is a directory; use a folder"):
        write_whole(tmp_path / "folder", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_missing_folder_is_refused_beforehand_by_name(tmp_path):
    check_place(tmp_path / "new.json")
    with pytest.raises(InputError, match="none is missing or read-only; use a folder"):
        check_place(tmp_path / "none" / "new.json")
