"""One flipped bit in any file of an artifact: refused before use."""

import random

import pytest
from small_artifact import label_of, write_small_artifact

from tapeout.artifact import Artifact
from tapeout.errors import ArtifactError


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_small_artifact(tmp_path_factory.mktemp("flips") / "m.tapeout")


def all_files(artifact):
    return [path for path in sorted(artifact.rglob("*")) if path.is_file()]


def flip(path, bit):
    """Flips a bit in place; the same again undoes it."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def refuse_every_flip(artifact, num_bits_per_file):
    rng = random.Random(0)
    for path in all_files(artifact):
        num_bits = path.stat().st_size * 8
        bits = rng.sample(range(num_bits), min(num_bits_per_file, num_bits))
        for bit in {*bits, *range(min(num_bits, 8)), *([num_bits - 1] if num_bits else [])}:
            flip(path, bit)
            with pytest.raises(
                ArtifactError, match="manifest" if "manifest" in path.name else path.name
            ):
                Artifact.open(artifact)
            flip(path, bit)


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
