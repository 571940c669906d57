"""One flipped bit in any file of an artifact: refused before use."""

import pytest
from flipped_bits import all_files, refuse_every_flip
from small_artifact import label_of, write_small_artifact

from tapeout.artifact import Artifact
from tapeout.errors import ArtifactError


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_small_artifact(tmp_path_factory.mktemp("flips") / "m.tapeout")


def test_a_flipped_bit_in_any_file_is_refused_naming_the_file(artifact):
    refuse_every_flip(artifact, num_bits_per_file=24)
    assert label_of(artifact) == "new"


def test_a_file_cut_short_or_made_longer_is_refused_naming_the_file(artifact):
    for path in all_files(artifact):
        data = path.read_bytes()
        cuts = {len(data) // 2, len(data) - 1, 0} - {len(data), -1}
        for changed in [*(data[:cut] for cut in sorted(cuts)), data + b"\0"]:
            path.write_bytes(changed)
            with pytest.raises(ArtifactError, match=r"manifest|" + path.name):
                Artifact.open(artifact)
        path.write_bytes(data)
    assert label_of(artifact) == "new"
