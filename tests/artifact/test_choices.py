import pytest
from small_artifact import TENSORS, manifest_of, write_small_artifact

from tapeout.artifact import Artifact, ArtifactWriter
from tapeout.artifact.choices import CHOICES, Candidate, KernelChoice, read_choices, write_choices
from tapeout.artifact.tuning_table import Key
from tapeout.errors import ArtifactError

KEY = Key(kernel="linear", shape=(64, 64), dtype="bf16", steps="16 rows", batch_invariant=False)
CHOICE = KernelChoice(
    kernels=["product_decode16"],
    key=KEY,
    configuration={"columns": 64, "boxed": True},
    origin="table NVIDIA H200",
    candidates=[Candidate(configuration={"columns": 32, "boxed": False}, reason="is smaller")],
)


def artifact_with(path, add):
    with ArtifactWriter(path) as writer:
        add(writer)
        weights = writer.weights("cpu", TENSORS)
        for spec in TENSORS:
            weights.add(spec.name, bytes(spec.bytes))
        return Artifact.open(writer.commit(manifest_of(writer, weights.finish())))


def test_choices_that_are_written_are_those_that_are_read(tmp_path):
    targets = {"cuda:sm_90": [CHOICE], "cpu": []}
    found = artifact_with(tmp_path / "a", lambda writer: write_choices(writer, targets))
    assert read_choices(found, "cuda:sm_90") == [CHOICE]
    assert read_choices(found, "cpu") == read_choices(found, "hip:gfx942") == []


def test_an_artifact_of_which_nobody_has_said_it_has_none(tmp_path):
    assert read_choices(Artifact.open(write_small_artifact(tmp_path / "a")), "cpu") == []


@pytest.mark.parametrize("text", [b"{", b'{"targets": {"cpu": [{"kernels": 3}]}}', b"\xff"])
def test_a_file_that_holds_something_else_is_refused_by_name(tmp_path, text):
    found = artifact_with(tmp_path / "a", lambda writer: writer.add_bytes(CHOICES, text))
    with pytest.raises(ArtifactError, match=r"tuning\.json: JSON: .*the choices of kernels"):
        read_choices(found, "cpu")
