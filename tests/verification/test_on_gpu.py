"""Verification on a card: what is sound passes, and the three planted faults are named."""

import pytest
from conftest import NANO
from locked import locked
from resealed import shortened, swapped, with_gpu_kernel, with_launches
from verified import findings_of

from tapeout import compile_model
from tapeout.artifact import Artifact
from tapeout.verification.load import load
from tapeout.verification.run import verify

pytestmark = pytest.mark.gpu

TARGET = "cuda:sm_90"


@pytest.fixture(scope="session")
def nano_gpu(shared_folder):
    """tapeout-nano for a GPU."""
    output = shared_folder / "nano.gpu"
    with locked(output):
        if not output.exists():
            compile_model(NANO, output, TARGET)
    return output


def faults_of(folder, *tapes):
    """Of kernels in some of the tapes; there are some."""
    loaded = load(Artifact.open(folder))
    try:
        found = findings_of(folder, loaded, tapes).faults()
    finally:
        loaded.executor.close()
    assert found
    return found


def launches_of(artifact, tape, anchor):
    """Where the launches of an anchor's kernels are in a tape, and the kernel of the first."""
    opened = Artifact.open(artifact)
    anchors = {k.name: k.anchor for k in opened.manifest.targets[TARGET].kernels}
    launches = opened.tape(TARGET, tape).launches
    kernel = next(launch.kernel for launch in launches if anchors[launch.kernel] == anchor)
    return [i for i, launch in enumerate(launches) if launch.kernel == kernel], kernel


def test_an_artifact_for_a_gpu_passes_every_check(nano_gpu):
    certificate = verify(nano_gpu, NANO)
    assert certificate.faults == []
    assert {check.name: check.status for check in certificate.checks} == dict.fromkeys(
        ("hashes", "weights", "files", "kernels", "logits", "graphs"), "passed"
    )
    target = Artifact.open(nano_gpu).manifest.targets[TARGET]
    tried = {name for error in certificate.kernels for name in error.kernels}
    assert tried == {kernel.name for kernel in target.kernels}
    assert "NVIDIA" in certificate.device


def test_a_wrong_kernel_of_a_gpu_is_named(nano_gpu, tmp_path):
    _, kernel = launches_of(nano_gpu, "step.decode16", "attention")

    def edit(body):
        return body.replace("0.25503486164919736", "0.28")  # that of scores, for exp2

    wrong = with_gpu_kernel(nano_gpu, tmp_path / "m", kernel, edit, TARGET)
    found = faults_of(wrong, "step.decode1", "step.decode16")
    assert all(f"(kernel {kernel})" in fault for fault in found)


@pytest.mark.parametrize("tape", ["step.decode32", "step.rows128", "step.any"])
def test_launches_with_one_anothers_buffers_are_named(nano_gpu, tmp_path, tape):
    places, kernel = launches_of(nano_gpu, tape, "attention")
    wrong = with_launches(nano_gpu, tmp_path / "m", tape, swapped(*places[3:5]), TARGET)
    found = faults_of(wrong, "step.rows64", tape)
    assert all(fault.startswith(f"tape {tape},") for fault in found)
    assert any(f" {places[3]} " in fault and f"(kernel {kernel}" in fault for fault in found)


def test_a_launch_with_another_scalar_is_named(nano_gpu, tmp_path):
    tape = "step.rows64"
    launches = Artifact.open(nano_gpu).tape(TARGET, tape).launches
    places = [i for i, launch in enumerate(launches) if any("T" in s for s in launch.scalars)]
    place = places[len(places) // 2]
    wrong = with_launches(nano_gpu, tmp_path / "m", tape, shortened(place), TARGET)
    found = faults_of(wrong, "step.decode1", tape)
    assert all(f"tape {tape}, launch" in fault for fault in found)
    assert all(launches[place].kernel in fault for fault in found)
