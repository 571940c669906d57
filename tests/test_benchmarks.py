"""Benchmarks, as far as they can be run here."""

import os
import subprocess
import sys

import pytest
from source_tree import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["gpu", "gpu_compare", "gpu_invariance", "gpu_player", "gpu_sampling", "experts"],
)
def test_without_a_gpu_a_benchmark_of_one_ends_with_one_line(name):
    hidden = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT / "tests")}
    given = ["an.tapeout"] if name == "gpu_compare" else []
    command = [sys.executable, ROOT / "bench" / f"{name}.py", *given]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | hidden)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "there is no GPU here; this bench needs one\n"
