"""Tapes for a GPU, played by the records in place of kernels: every launch fits the dataflow."""

from collections import Counter

import pytest
from conftest import NANO
from records_executor import TARGET, compile_without_code, load_records
from resealed import swapped, with_launches, with_weight
from verified import findings_of

from tapeout.artifact import Artifact
from tapeout.verification.findings import Findings
from tapeout.verification.subject import StoredWeights
from tapeout.verification.weights import check_weights

WEIGHT = "layer0.mlp.down_proj.weight/5"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return compile_without_code(NANO, tmp_path_factory.mktemp("gpu") / "nano.gpu", patch)


def played(folder, *tapes):
    """What is found of some of the tapes."""
    return findings_of(folder, load_records(Artifact.open(folder)), tapes)


def test_every_launch_of_a_gpus_tapes_is_where_the_module_has_it(artifact):
    findings = played(artifact, "step.decode1", "step.decode16", "step.rows64", "sample.any")
    assert findings.faults() == []
    assert {error.layer for error in findings.layers()} == {None, *range(8)}
    assert all(error.error <= error.rounding for error in findings.kernels())


def test_rows_that_a_tape_of_a_token_each_does_not_take_are_passed_on(artifact, tmp_path):
    launches, takes = Artifact.open(artifact).tape(TARGET, "step.rows64").launches, "gather_rows_1"
    [taking] = [launch for launch in launches if launch.kernel.startswith(takes)]
    decode = Artifact.open(artifact).tape(TARGET, "step.decode16").launches
    assert not any(launch.kernel.startswith(takes) for launch in decode)
    assert played(artifact, "step.decode16").faults() == []

    def edit(launches):
        return [*launches[:-2], taking, *launches[-2:]]  # before the norm and the head

    wrong = with_launches(artifact, tmp_path / "m", "step.decode16", edit, TARGET)
    [fault] = played(wrong, "step.decode16").faults()
    assert f"({taking.kernel}) is where region" in fault


def test_two_launches_of_a_gpu_with_one_anothers_buffers_are_named(artifact, tmp_path):
    launches = Artifact.open(artifact).tape(TARGET, "step.decode16").launches
    kernel = launches[-4].kernel
    first, second = [i for i, launch in enumerate(launches) if launch.kernel == kernel][2:4]
    edit = swapped(first, second)
    wrong = with_launches(artifact, tmp_path / "m", "step.decode16", edit, TARGET)
    found = played(wrong, "step.decode1", "step.decode16").faults()
    assert found[0].startswith(f"tape step.decode16, launch {first} (kernel {kernel}")
    assert all(fault.startswith("tape step.decode16,") for fault in found)


def test_a_wrong_weight_of_a_gpu_is_named_by_the_checkpoint(artifact, tmp_path):
    wrong = Artifact.open(with_weight(artifact, tmp_path / "m", WEIGHT, TARGET))
    findings = Findings()
    check_weights(wrong, NANO, findings, lambda stage, done, total: None)
    assert findings.faults()[0].startswith(f"weight {WEIGHT} of {TARGET} is not")


def test_a_result_that_no_launch_makes_may_not_be_read(artifact, tmp_path):
    [first, *_] = Artifact.open(artifact).tape(TARGET, "step.decode1").launches

    def edit(launches):
        return [first, *launches[1:]]  # few rows have no use for squares

    wrong = with_launches(artifact, tmp_path / "m", "step.rows128", edit, TARGET)
    [fault] = played(wrong, "step.decode1", "step.rows128").faults()
    assert fault.startswith("tape step.rows128: launch 2 (")
    assert "reads %squares, which no launch has made" in fault


def test_a_layers_weights_are_made_for_the_records_once_however_many_steps_are_tried(
    artifact, monkeypatch
):
    asked, get = Counter(), StoredWeights.__getitem__

    def counted(weights, name):
        asked[name] += 1
        return get(weights, name)

    monkeypatch.setattr(StoredWeights, "__getitem__", counted)
    played(artifact, "step.decode16")
    assert {count for name, count in asked.items() if name.startswith("layer0")} == {1}
