"""A checkpoint that the artifact was not compiled from is told as such."""

import json
import re

import pytest
from conftest import NANO
from msgspec.structs import replace
from resealed import reseal
from transformers import AutoConfig, AutoModelForCausalLM

from tapeout.artifact import Artifact
from tapeout.errors import CheckpointError
from tapeout.verification.files import check_files
from tapeout.verification.findings import Findings
from tapeout.verification.weights import check_weights

REMEDY = "give the checkpoint that the artifact was compiled from"


def weights_check(artifact, checkpoint):
    findings = Findings()
    check_weights(Artifact.open(artifact), checkpoint, findings, lambda *progress: None)
    return findings.checks[0]


def other_checkpoint(folder, **changed):
    """Random weights of nano's shape, but for what is ``changed`` in its config."""
    config = AutoConfig.from_pretrained(NANO, **changed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_files_that_are_those_of_the_checkpoint_pass(nano):
    findings = Findings()
    check_files(Artifact.open(nano), NANO, findings)
    assert not findings.num_faults and int(findings.checks[0].detail.split(" ")[0]) >= 3


def test_a_sealed_file_and_ends_of_sequences_that_are_others_are_named(nano, tmp_path):
    base, findings = Artifact.open(nano), Findings()
    model = replace(base.manifest.model, eos_token_ids=[5])
    changed = {"tokenizer.json": base.read("tokenizer.json") + b" "}
    other = reseal(nano, tmp_path / "m", changed, model=model)
    check_files(Artifact.open(other), NANO, findings)
    ends = base.manifest.model.eos_token_ids
    assert findings.faults() == [
        "file tokenizer.json is not the checkpoint's",
        f"the manifest's eos_token_ids is [5], the checkpoint's {ends}",
    ]
    assert findings.checks[0].status == "failed"


def test_weights_that_are_those_of_the_checkpoint_pass(nano):
    check = weights_check(nano, NANO)
    assert check.status == "passed" and re.fullmatch(rf"\d+ tensors against {NANO}", check.detail)


def test_where_most_weights_are_others_another_checkpoint_is_asked_for(nano, tmp_path):
    check = weights_check(nano, other_checkpoint(tmp_path / "other"))
    assert check.status == "failed" and check.detail.endswith(f"are others: {REMEDY}")


def test_a_checkpoint_of_another_shape_is_refused_with_the_remedy(nano, tmp_path):
    config = json.loads((NANO / "config.json").read_text())
    wide = 2 * config["intermediate_size"]
    with pytest.raises(CheckpointError, match=f"shape of .*; {REMEDY}"):
        weights_check(nano, other_checkpoint(tmp_path / "wide", intermediate_size=wide))


def test_a_checkpoint_that_lacks_a_tensor_is_refused_with_the_remedy(nano, tmp_path):
    with pytest.raises(CheckpointError, match=f"no such tensor.*; {REMEDY}"):
        weights_check(nano, other_checkpoint(tmp_path / "shallow", num_hidden_layers=1))
