"""Faults that no digest shows, or that one does: each is found, and named."""

import re
import shutil

import pytest
from conftest import NANO
from flipped_bits import flip
from msgspec.structs import replace
from resealed import reseal, shortened, swapped, with_kernel, with_launches, with_weight

from tapeout.artifact import Artifact
from tapeout.errors import InputError
from tapeout.verification.run import verify

WEIGHT = "layer0.mlp.down_proj.weight/5"


def launches_of(artifact, kernel):
    """Where a kernel is in the step's tape."""
    launches = Artifact.open(artifact).tape("cpu", "step").launches
    return [place for place, launch in enumerate(launches) if launch.kernel == kernel]


def faults(certificate):
    assert not certificate.passed and certificate.faults
    return certificate.faults


@pytest.mark.parametrize(
    ("kernel", "before", "after"),
    [
        ("tapeout_rms_norm_1", "1e-05f", "1e-02f"),
        ("tapeout_linear_silu_mul", "vf(1.0f) + exp", "vf(1.05f) + exp"),
    ],
)
def test_a_wrong_kernel_is_named(nano, tmp_path, kernel, before, after):
    wrong = with_kernel(nano, tmp_path / "m", kernel, lambda text: text.replace(before, after))
    found = faults(verify(wrong))
    assert all(f"(kernel {kernel})" in fault for fault in found if fault.startswith("tape"))
    assert any(fault.startswith("tape step, launch") for fault in found)


def test_a_flipped_bit_of_a_weight_is_found_by_its_hash(nano, tmp_path):
    whole = with_weight(nano, tmp_path / "m", WEIGHT)
    tensor = Artifact.open(whole).manifest.targets["cpu"].weights.tensors[WEIGHT]
    flip(whole / tensor.file, 8 * tensor.offset)
    certificate = verify(whole)
    [fault] = faults(certificate)
    assert tensor.file in fault and "digest" in fault
    assert [check.status for check in certificate.checks] == ["failed"]


def test_a_wrong_weight_that_is_sealed_is_named_by_the_checkpoint(nano, tmp_path):
    wrong = with_weight(nano, tmp_path / "m", WEIGHT)
    certificate = verify(wrong, NANO)
    found = faults(certificate)
    [weights] = [check for check in certificate.checks if check.name == "weights"]
    assert re.fullmatch(rf"1 of \d+ tensors against {NANO} are others", weights.detail)
    assert found[0].startswith(f"weight {WEIGHT} of cpu is not the checkpoint's: 1 of ")
    assert not any(fault.startswith(("tape", f"weight {WEIGHT[:-1]}4")) for fault in found)


def test_two_launches_with_one_anothers_buffers_are_named(nano, tmp_path):
    first, second = launches_of(nano, "tapeout_linear_add")[3:5]
    wrong = with_launches(nano, tmp_path / "m", "step", swapped(first, second))
    found = faults(verify(wrong))
    for launch, layer in ((first, 3), (second, 4)):
        named = f"tape step, launch {launch} (kernel tapeout_linear_add) of layer {layer}: %add"
        assert any(fault.startswith(named) for fault in found)


@pytest.fixture(scope="module")
def a_token_less(nano, tmp_path_factory):
    """A launch that is told of a token less, and the faults that are found."""
    place = launches_of(nano, "tapeout_rms_norm_1")[7]
    folder = tmp_path_factory.mktemp("a-token-less") / "m"
    return place, faults(verify(with_launches(nano, folder, "step", shortened(place))))


def test_a_launch_with_another_scalar_is_named(a_token_less):
    place, found = a_token_less
    assert found[0].startswith(f"tape step, launch {place} (kernel tapeout_rms_norm_1) of layer 3:")
    assert all(f"launch {place} " in fault for fault in found if fault.startswith("tape"))


def test_a_fault_that_every_step_shows_is_told_once(a_token_less):
    [told] = [fault for fault in a_token_less[1] if fault.startswith("tape")]
    assert re.search(r" at T=\d+ S=\d+ R=\d+, and in \d+ more steps$", told)


def test_a_launch_too_many_is_told_and_not_what_comes_after_it(nano, tmp_path):
    place = launches_of(nano, "tapeout_rms_norm_1")[2]

    def edit(launches):
        return [*launches[: place + 1], *launches[place:]]

    found = faults(verify(with_launches(nano, tmp_path / "m", "step", edit)))
    [told] = [fault for fault in found if fault.startswith("tape")]
    assert f"launch {place + 1} (tapeout_rms_norm_1) is where region linear" in told


def test_a_launch_that_is_missing_is_named(nano, tmp_path):
    place = launches_of(nano, "tapeout_rms_norm_1")[2]

    def edit(launches):
        return launches[:place] + launches[place + 1 :]

    found = faults(verify(with_launches(nano, tmp_path / "m", "step", edit)))
    assert any(re.search(f"step(:|,) launch {place} ", fault) for fault in found)


@pytest.mark.parametrize(
    ("name", "edit", "named"),
    [
        ("graph.ir", lambda data: b"none", "graph.ir: text: found line 1: 'module' wanted"),
        ("graph.ir", lambda data: data.replace(b"silu", b"sulu"), "graph.ir: text: found "),
        (
            "graph.ir",
            lambda data: data.replace(
                b"max_position_embeddings = ", b"max_position_embeddings = 1"
            ),
            "model.max_position_embeddings: found ",
        ),
        ("graph.ir", lambda data: data.replace(b"LlamaFor", b"For"), "model.architecture: found "),
        ("player/player.so", lambda data: b"none", "player.so: file too short; compile the model"),
        (
            "tapes/cpu/step.json",
            lambda data: data.replace(b"tapeout_linear_add", b"tapeout_none"),
            "wanted a kernel of the manifest",
        ),
    ],
)
def test_what_is_sealed_and_cannot_be_used_is_a_fault_by_its_name(
    nano, tmp_path, name, edit, named
):
    wrong = reseal(nano, tmp_path / "m", {name: edit(Artifact.open(nano).read(name))})
    certificate = verify(wrong)
    [fault] = faults(certificate)
    assert named in fault
    assert [c.name for c in certificate.checks if c.status == "failed"] == ["contents"]


def test_a_slot_that_is_too_small_is_named_before_anything_is_written_there(nano, tmp_path):
    base = Artifact.open(nano)
    target = base.manifest.targets["cpu"]
    slot = base.tape("cpu", "step").launches[0].buffers[-1].slot
    slots = [*target.slots]
    slots[slot] = replace(slots[slot], bytes=[{"T": 2}])
    wrong = reseal(nano, tmp_path / "m", {}, targets={"cpu": replace(target, slots=slots)})
    [fault] = faults(verify(wrong))
    assert f"targets.cpu.slots[{slot}].bytes: found 2 at T=1 S=1 R=1, wanted " in fault
    assert "at least, for %" in fault


def test_a_folder_in_the_place_of_the_manifest_is_no_artifact(nano, tmp_path):
    shutil.copytree(nano, tmp_path / "m")
    (tmp_path / "m" / "manifest.json").unlink()
    (tmp_path / "m" / "manifest.json").mkdir()
    with pytest.raises(InputError, match="is no artifact"):
        verify(tmp_path / "m")
