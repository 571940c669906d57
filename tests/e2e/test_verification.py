"""Every supported architecture passes verification, kernel by kernel and by its logits."""

import pytest
from models import CONFIGS

from tapeout.verification.run import verify


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_is_held_against_its_records_and_transformers(
    name, dtype, checkpoint_of, artifact_of
):
    certificate = verify(artifact_of(name, dtype), checkpoint_of(name))
    assert certificate.faults == []
    done = {check.name for check in certificate.checks if check.status == "passed"}
    assert done == {"hashes", "weights", "files", "kernels", "logits"}


@pytest.mark.gpu
@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_on_a_gpu_is_held_against_the_same(name, checkpoint_of, gpu_artifact_of):
    certificate = verify(gpu_artifact_of(name), checkpoint_of(name))
    assert certificate.faults == []
    assert {check.status for check in certificate.checks} == {"passed"}
