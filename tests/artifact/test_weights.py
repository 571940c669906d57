import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load
from small_artifact import TENSORS, tensor_bytes, write_small_artifact

from tapeout.artifact import Artifact, ArtifactWriter, TensorSpec, Weights, plan_files, table_of
from tapeout.artifact.weights import ITEM_BYTES, render_header


def test_the_files_are_safetensors_to_others(tmp_path):
    path = write_small_artifact(tmp_path / "m")
    with safe_open(path / "weights" / "cpu-00001.safetensors", "np") as file:
        assert file.get_tensor("table").tobytes() == tensor_bytes(TENSORS[0], "new")
        assert file.get_tensor("table").shape == (5, 3)


def test_a_new_file_starts_when_one_is_full(tmp_path):
    artifact = Artifact.open(write_small_artifact(tmp_path / "m"))
    files = {name: t.file for name, t in artifact.manifest.targets["cpu"].weights.tensors.items()}
    assert files["table"] == files["layer0.norm/0"] == "weights/cpu-00001.safetensors"
    assert files["layer0.norm/1"] == "weights/cpu-00002.safetensors"


def test_the_table_is_known_before_anything_is_written(tmp_path):
    artifact = Artifact.open(write_small_artifact(tmp_path / "m"))
    planned = table_of(plan_files("cpu", TENSORS, max_file_bytes=128))
    assert planned == artifact.manifest.targets["cpu"].weights


def test_a_target_without_weights_has_no_files():
    assert plan_files("cpu", []) == []
    assert table_of([]) == Weights(total_bytes=0, tensors={})


@given(st.lists(st.tuples(st.sampled_from(sorted(ITEM_BYTES)), st.integers(0, 99))))
def test_every_tensor_starts_on_a_border_and_none_is_lost(drawn):
    specs = [TensorSpec(f"t{i}", dtype, (size,)) for i, (dtype, size) in enumerate(drawn)]
    header = render_header(specs)
    assert len(header) % 64 == 0
    data = b"".join(bytes([1] * s.bytes) + bytes(-s.bytes % 64) for s in specs)
    numpy_knows = [s for s in specs if s.dtype != "BF16"]
    if len(numpy_knows) == len(specs):
        found = load(header + data)
        assert {name for name in found if name.startswith("t")} == {s.name for s in specs}
        assert all((found[s.name].view(np.uint8) == 1).all() for s in specs)


def test_a_tensor_out_of_order_or_of_another_size_is_a_broken_invariant(tmp_path):
    for name, size in (("b", 4), ("a", 8)):
        with pytest.raises(AssertionError, match="due is"):
            with ArtifactWriter(tmp_path / "m") as writer:
                specs = [TensorSpec("a", "F32", (1,)), TensorSpec("b", "F32", (1,))]
                writer.weights("cpu", specs).add(name, bytes(size))
    assert list(tmp_path.iterdir()) == []
