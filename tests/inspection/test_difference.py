"""`tapeout diff` says what differs between two artifacts, and nothing else."""

import json

import pytest
from click.testing import CliRunner
from cpu import native_levels
from models import save_tiny
from planted_models import plant

from tapeout import compile_model
from tapeout.artifact import Artifact
from tapeout.artifact.choices import read_choices
from tapeout.artifact.tuning_table import Device, DeviceEntries, Entry, Table, write_table
from tapeout.cli import main
from tapeout.inspection.difference import difference_of

GPU = {"target": "cuda:sm_90", "dtype": "bfloat16"}


def run(*arguments):
    return CliRunner().invoke(main, ["diff", *map(str, arguments)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny("llama", tmp_path_factory.mktemp("diff") / "llama")


def built(checkpoint, name, **options):
    levels = {} if "target" in options else {"cpu_levels": native_levels()[:1]}
    return compile_model(checkpoint, checkpoint.parent / f"{name}.tapeout", **levels, **options)


@pytest.fixture(scope="module")
def first(checkpoint):
    return built(checkpoint, "first")


@pytest.fixture(scope="module")
def gpu(checkpoint):
    pytest.importorskip("triton")
    return built(checkpoint, "gpu", **GPU)


def test_two_builds_of_one_checkpoint_give_an_empty_diff(checkpoint, first):
    again = built(checkpoint, "again")
    done = run(first, again)
    assert (done.exit_code, done.output) == (0, "")
    as_json = run(first, again, "--json")
    assert as_json.exit_code == 0 and json.loads(as_json.stdout)["parts"] == {}


def test_two_builds_for_a_gpu_give_an_empty_diff(checkpoint, gpu):
    done = run(gpu, built(checkpoint, "gpu-again", **GPU))
    assert (done.exit_code, done.output) == (0, "")


def test_another_type_changes_kernels_bytes_and_the_ir(checkpoint, first):
    done = run(first, built(checkpoint, "narrow", dtype="bfloat16"))
    assert done.exit_code == 1
    parts = {line for line in done.output.splitlines() if line and line[0].isalpha()}
    assert {"model", "IR", "bytes", "files"} <= parts
    assert "dtype: f32 -> bf16" in done.output
    assert "-  %rms_norm: f32[T, 160] = rms_norm(%x) {eps = 1e-06}" in done.output
    assert "+  %rms_norm: bf16[T, 160] = rms_norm(%x) {eps = 1e-06}" in done.output


def test_a_fusion_that_one_build_lost_is_told_with_its_predicate(checkpoint, first, monkeypatch):
    plant("q is scaled", monkeypatch)
    planted = built(checkpoint, "planted")
    found = difference_of(Artifact.open(first), Artifact.open(planted))
    lost = [one for one in found.parts["passes"] if "merge_linears left" in one.name]
    assert [one.a for one in lost] == [None] and "mul is in between" in str(lost[0].b)
    assert {one.name: (one.a, one.b) for one in found.parts["tapes"]} == {
        "step": ("21 launches, any rows", "25 launches, any rows")
    }


def table_of(choice, **changes):
    """A table in which one kernel's configuration was measured to be another."""
    configuration = choice.configuration | changes
    times = {"time_s": 5e-6, "before_s": 6e-6, "least_s": None}
    entry = Entry(key=choice.key, configuration=configuration, **times)
    device = Device(name="NVIDIA H200", arch="sm_90", num_units=132)
    return Table(devices=[DeviceEntries(device=device, memory_bytes_per_s=None, entries=[entry])])


def test_another_configuration_is_told_with_where_it_is_from_and_its_time(checkpoint, gpu):
    choices = read_choices(Artifact.open(gpu), "cuda:sm_90")
    known = next(c for c in choices if c.key.steps == "16 rows" and c.candidates)
    table = checkpoint.parent / "table.json"
    write_table(table_of(known, num_warps=2), table)
    tuned = built(checkpoint, "tuned", tuning=table, **GPU)
    found = difference_of(Artifact.open(gpu), Artifact.open(tuned)).parts
    assert set(found) == {"kernels", "configurations", "bytes", "measured us", "files"}
    changed = found["configurations"][0]
    assert "num_warps=4" in str(changed.a) and "rule: " in str(changed.a)
    assert "num_warps=2" in str(changed.b) and "table NVIDIA H200" in str(changed.b)
    assert {(one.a, one.b) for one in found["measured us"]} == {(None, 5.0)}
    printed = run(gpu, tuned).output.splitlines()
    assert max(map(len, printed)) <= 100


def test_what_is_no_artifact_is_refused_with_the_exit_code_of_an_error(first, tmp_path):
    done = run(first, tmp_path)
    assert done.exit_code == 2 and str(tmp_path) in done.output
