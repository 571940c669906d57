"""The faults of tests/faults on the artifacts of compiled models."""

import os
import random
import shutil
import subprocess
import sys
import time

import pytest
from faulty_disk import Disk
from flipped_bits import all_files, refuse_every_flip

from tapeout import api
from tapeout.artifact import Artifact
from tapeout.errors import BuildError
from tapeout.frontend.source import open_source

LEVEL = ("x86-64-v3",)
NUM_KILLS = 20

COMPILE = """
import sys
from tapeout import compile_model
compile_model(sys.argv[1], output=sys.argv[2], load_format="dummy", seed=int(sys.argv[3]))
"""


def identity(path):
    """What changes when an artifact is replaced, and only then."""
    return Artifact.open(path).read("graph.ir"), os.stat(path).st_ino


def test_a_flipped_bit_in_any_file_of_a_compiled_model_is_refused(artifact_of, tmp_path):
    artifact = shutil.copytree(artifact_of("llama"), tmp_path / "m")
    assert len(all_files(artifact)) > 10
    refuse_every_flip(artifact, num_bits_per_file=3, num_first_bits=1)
    Artifact.open(artifact)


@pytest.mark.slow
def test_a_compile_whose_disk_fails_anywhere_leaves_the_old_artifact(
    checkpoint_of, tmp_path, monkeypatch
):
    lowered = api.lower(open_source(checkpoint_of("llama")))
    monkeypatch.setattr(api, "lower", lambda *arguments: lowered)
    path = tmp_path / "m"

    def compile_once():
        api.compile_model(checkpoint_of("llama"), output=path, cpu_levels=LEVEL)

    compile_once()
    with pytest.MonkeyPatch.context() as patch:
        log = Disk(patch).log
        compile_once()
    assert len(log) > 50
    old = identity(path)
    for number, operation in enumerate(log):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(BuildError, match="No space"):
            Disk(patch, failing=number)
            compile_once()
        assert identity(path) == old, operation
        assert os.listdir(tmp_path) == ["m"], operation


@pytest.mark.slow
def test_a_compile_killed_at_random_leaves_the_old_artifact_or_a_whole_new_one(
    checkpoint_of, tmp_path
):
    rng = random.Random(0)
    path = tmp_path / "m"

    def start(seed):
        command = [sys.executable, "-c", COMPILE, checkpoint_of("llama"), path, str(seed)]
        return subprocess.Popen(command, start_new_session=True)

    assert start(0).wait() == 0
    begin = time.monotonic()
    assert start(1).wait() == 0
    duration_s = time.monotonic() - begin
    for kill in range(NUM_KILLS):
        process = start(2 + kill)
        if kill % 2:
            time.sleep(rng.uniform(0, duration_s))
        else:  # while the artifact is being written, which is short
            while len(os.listdir(tmp_path)) == 1 and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, duration_s / 10))
        process.kill()
        process.wait()
        identity(path)
    assert start(99).wait() == 0
    assert os.listdir(tmp_path) == ["m"]
