import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import NANO

from tapeout.artifact import Artifact
from tapeout.artifact.digests import digest_of
from tapeout.cli import main
from tapeout.verification import run as module
from tapeout.verification.certificate import certificate_path, read


def run(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


@pytest.fixture(scope="module")
def said(nano):
    """What is printed, in words, of an artifact with its checkpoint."""
    before = times(nano)
    done = run(nano, "--checkpoint", NANO)
    assert times(nano) == before
    return done


def times(folder):
    """When each file was changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_sound_artifact_passes_and_its_certificate_names_the_manifest(nano, said):
    assert said.exit_code == 0, said.output
    certificate = read(nano)
    assert certificate.manifest_digest == digest_of((nano / "manifest.json").read_bytes())
    assert certificate.passed and not certificate.faults
    assert certificate.device.startswith("CPU, x86-64-")
    statuses = {check.name: check.status for check in certificate.checks}
    assert statuses.pop("graphs") == "not done"
    assert set(statuses.values()) == {"passed"} and len(statuses) == 5


def test_every_kernel_and_layer_has_an_error_and_what_it_may_be(nano, said):
    certificate, target = read(nano), Artifact.open(nano).manifest.targets["cpu"]
    tried = {name for error in certificate.kernels for name in error.kernels}
    assert tried == {kernel.name for kernel in target.kernels}
    assert all(0 <= error.error <= error.limit for error in certificate.kernels)
    assert [error.layer for error in certificate.layers] == [*range(8), None]


def test_logits_are_near_those_of_transformers_in_every_kind_of_step(nano, said):
    errors = read(nano).logits
    assert [error.steps for error in errors] == ["prefill", "decode", "mixed"]
    for error in errors:
        assert error.kl <= 2.25 * error.kl_of_rounded + 1e-8
        assert error.top1 >= 0.9 and error.distance > 0


def test_the_certificate_is_printed_with_json(nano):
    done = run(nano, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(certificate_path(nano).read_text())
    [weights] = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "weights"]
    assert weights["status"] == "not done" and "--checkpoint" in weights["detail"]


def test_what_is_no_artifact_is_bad_input(tmp_path):
    done = run(tmp_path)
    assert done.exit_code == 2 and "manifest.json" in done.output
    assert not certificate_path(tmp_path).exists()


def test_a_damaged_artifact_fails_and_says_where(fake, tmp_path):
    damaged = shutil.copytree(fake, tmp_path / "m")
    (damaged / "tokenizer.json").write_bytes(b"")
    done = run(damaged)
    assert done.exit_code == 1 and "tokenizer.json" in done.output
    assert read(damaged).faults and not read(damaged).passed


def test_what_was_found_is_told_though_the_certificate_cannot_be_written(
    fake, tmp_path, monkeypatch
):
    damaged = shutil.copytree(fake, tmp_path / "m")
    (damaged / "tokenizer.json").write_bytes(b"")
    monkeypatch.setattr(Path, "replace", lambda *_: os.stat(tmp_path / "none"))
    done, as_json = run(damaged), run(damaged, "--json")
    assert done.exit_code == as_json.exit_code == 2 and "cannot write" in done.stderr
    assert "fault: " in done.stderr and "failed: " not in done.output
    assert json.loads(as_json.stdout)["faults"]


def test_a_folder_in_the_place_of_the_certificate_is_refused_before_anything_is_run(fake, tmp_path):
    copied = shutil.copytree(fake, tmp_path / "m")
    certificate_path(copied).mkdir()
    done = run(copied)
    assert done.exit_code == 2 and "it is a folder; give a file" in done.stderr
    assert done.stdout == ""


def test_kernels_that_could_not_be_tried_are_not_said_to_have_passed(nano, tmp_path, monkeypatch):
    copied = shutil.copytree(nano, tmp_path / "m")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    done = run(copied)
    assert done.exit_code == 0 and "passed what could be checked here: " in done.output


def test_without_a_compiler_hashes_are_checked_and_the_rest_is_named(nano, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torch" else object())
    certificate = module.verify(nano, NANO)
    found = {check.name: check for check in certificate.checks}
    assert certificate.passed and found["hashes"].status == "passed"
    for name in ("weights", "kernels", "logits"):
        assert found[name].status == "not done" and "torch" in found[name].detail
