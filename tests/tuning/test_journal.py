from pathlib import Path

import pytest
from fake_space import DEVICE, USUAL, key_of

from tapeout.errors import InputError
from tapeout.tuning.journal import Begun, Journal, Trial

BEGUN = Begun(artifact_digest="0", device=DEVICE)
TRIALS = [
    Trial(key=key_of(name), configuration=USUAL, outcome="slower", ratio=1.5) for name in "abc"
]


def written(path, begun=BEGUN, trials=TRIALS):
    journal = Journal(path, begun)
    for trial in trials:
        journal.add(trial)
    return path


def test_a_journal_is_read_back_and_goes_on(tmp_path):
    path = written(tmp_path / "journal")
    written(path, trials=TRIALS[:1])
    assert Journal(path, BEGUN).lines == [*TRIALS, TRIALS[0]]


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_line_that_was_torn_is_forgotten_and_written_over(tmp_path, cut):
    path = written(tmp_path / "journal")
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path, BEGUN)
    assert journal.lines == TRIALS[:2]
    journal.add(TRIALS[2])
    assert Journal(path, BEGUN).lines == TRIALS


def test_the_journal_of_another_artifact_or_device_is_begun_anew(tmp_path):
    path = written(tmp_path / "journal")
    assert Journal(path, Begun(artifact_digest="1", device=DEVICE)).lines == []
    assert Journal(path, BEGUN).lines == []


def test_a_folder_that_cannot_be_written_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match="is writable"):
        Journal(tmp_path / "none" / "journal", BEGUN)


def test_a_folder_in_its_place_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=f"cannot write {tmp_path}: Is a directory; copy the"):
        Journal(tmp_path, BEGUN)


def test_a_disk_that_is_full_is_told_in_one_line(tmp_path):
    journal = Journal(tmp_path / "journal", BEGUN)
    journal.path = Path("/dev/full")
    with pytest.raises(InputError, match="/dev/full: No space left on device; copy the artifact"):
        journal.add(TRIALS[0])
