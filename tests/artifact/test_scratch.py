import os
import signal

import pytest

from tapeout.artifact.scratch import scratch_folder
from tapeout.errors import BuildError


def test_a_folder_is_there_until_its_block_ends(tmp_path):
    with scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
        (first / "made.o").write_bytes(b"object")
        assert first != second and {*tmp_path.iterdir()} == {first, second}
    assert not any(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_a_killed_process_left_goes_with_the_next_folder_and_nothing_else(tmp_path):
    kept = tmp_path / "kept.o"
    kept.write_bytes(b"object")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with scratch_folder(tmp_path) as folder:
            (folder / "made.o").write_bytes(b"part")
            os.write(writing, b".")
            signal.pause()
    os.read(reading, 1)
    [left] = {*tmp_path.iterdir()} - {kept}
    with scratch_folder(tmp_path):
        assert left.exists(), "its process lives"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert left.exists()
    with scratch_folder(tmp_path) as folder:
        assert {*tmp_path.iterdir()} == {kept, folder}


def test_where_no_folder_can_be_made_the_error_says_where(tmp_path):
    with pytest.raises(BuildError, match=f"cannot write {tmp_path / 'none'}: No such file"):
        with scratch_folder(tmp_path / "none"):
            pass
