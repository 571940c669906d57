import os

import pytest
from small_artifact import label_of, manifest, manifest_of, write_small_artifact

from tapeout.artifact import ArtifactWriter, Weights, files, staging
from tapeout.errors import ArtifactError, BuildError, InputError

NO_WEIGHTS = Weights(total_bytes=0, tensors={})


def contents(folder):
    """Every file below `folder` by its path, with its bytes."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_two_builds_of_the_same_input_are_byte_identical(tmp_path):
    a, b = (contents(write_small_artifact(tmp_path / name)) for name in ("a", "b"))
    assert a == b


def test_a_build_leaves_nothing_beside_the_artifact(tmp_path):
    for label in ("old", "new"):
        write_small_artifact(tmp_path / "m.tapeout", label)
        assert os.listdir(tmp_path) == ["m.tapeout"]
    assert label_of(tmp_path / "m.tapeout") == "new"


def test_missing_folders_above_the_artifact_are_made(tmp_path):
    assert label_of(write_small_artifact(tmp_path / "a" / "b" / "m.tapeout")) == "new"


def test_an_error_in_the_build_leaves_the_old_artifact(tmp_path):
    path = write_small_artifact(tmp_path / "m.tapeout", "old")
    with pytest.raises(KeyboardInterrupt), ArtifactWriter(path) as writer:
        writer.add_bytes("graph.ir", b"half")
        raise KeyboardInterrupt
    assert label_of(path) == "old"
    assert os.listdir(tmp_path) == ["m.tapeout"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_not_an_artifact_is_never_replaced(tmp_path, kind):
    path, precious = tmp_path / "home", tmp_path / "elsewhere" / "precious"
    precious.parent.mkdir()
    precious.write_text("work of years")
    if kind == "folder":
        path.mkdir()
        (path / "precious").write_text("work of years")
    elif kind == "file":
        path.write_text("work of years")
    else:
        path.symlink_to(precious.parent)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"exists and is not an artifact.*give another"):
        write_small_artifact(path)
    assert contents(tmp_path) == before


def test_an_empty_folder_is_replaced(tmp_path):
    path = tmp_path / "m.tapeout"
    path.mkdir()
    assert label_of(write_small_artifact(path)) == "new"


def test_what_dead_builders_left_is_swept_and_what_living_ones_write_is_not(tmp_path):
    path = tmp_path / "m.tapeout"
    dead = tmp_path / ".m.tapeout.tmp-0123"
    (dead / "weights").mkdir(parents=True)
    (dead / "weights" / "half").write_bytes(b"half")
    other = tmp_path / ".n.tapeout.tmp-0123"
    other.mkdir()
    with ArtifactWriter(path) as living:
        write_small_artifact(path, "first")
        assert living.folder.exists()
        living.commit(manifest_of(living, NO_WEIGHTS))
    assert sorted(os.listdir(tmp_path)) == [other.name, path.name]


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a//b", ".hidden", "a/../b", "", "a\\b", "ä"]
)
def test_only_plain_names_inside_the_artifact_are_written(tmp_path, name):
    with pytest.raises(ArtifactError, match="path"), ArtifactWriter(tmp_path / "m") as writer:
        writer.add_bytes(name, b"")
    assert os.listdir(tmp_path) == []


def test_a_manifest_that_names_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"targets\.cpu.*a file that is listed"):
        with ArtifactWriter(tmp_path / "m") as writer:
            writer.commit(manifest(NO_WEIGHTS))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=r"cannot write .*file/m.*give an output folder"):
        write_small_artifact(tmp_path / "file" / "m")


@pytest.fixture
def no_renameat2(monkeypatch):
    def refuse(source, target, flags):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(files, "_renameat2", refuse)


@pytest.mark.usefixtures("no_renameat2")
def test_an_artifact_is_replaced_also_where_folders_cannot_be_swapped_in_one_step(tmp_path):
    for label in ("old", "new"):
        assert label_of(write_small_artifact(tmp_path / "m", label)) == label
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.usefixtures("no_renameat2")
@pytest.mark.parametrize("deaths_at_rename", [1, 2, 3])
def test_a_swap_in_steps_that_died_half_way_is_put_right(tmp_path, monkeypatch, deaths_at_rename):
    old = write_small_artifact(tmp_path / "m", "old")
    staged = tmp_path / ".m.tmp-00"
    write_small_artifact(tmp_path / "n", "new").rename(staged)
    rename, calls = os.rename, []

    def dying(source, target):
        calls.append(source)
        if len(calls) >= deaths_at_rename:
            raise SystemExit
        rename(source, target)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(os, "rename", dying)
        files.exchange(staged, old)
    staging.sweep(old)
    assert label_of(old) == ("new" if deaths_at_rename == 3 else "old")
    assert os.listdir(tmp_path) == ["m"]
