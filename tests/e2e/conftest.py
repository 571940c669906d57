"""Checkpoints and artifacts of the tiny models, built once and shared by all workers."""

import fcntl
from contextlib import contextmanager
from pathlib import Path

import pytest
from cpu import native_levels
from models import save_tiny

from tapeout import compile_model

NANO = Path(__file__).parents[2] / "examples" / "nano" / "checkpoint"


@contextmanager
def locked(path):
    """Holds a lock that all workers of the run see."""
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def checkpoint_of(shared_folder):
    """name -> the folder of the fp32 checkpoint of that tiny model."""

    def checkpoint_of(name):
        folder = shared_folder / f"{name}-checkpoint"
        with locked(folder):
            return folder if folder.exists() else save_tiny(name, folder)

    return checkpoint_of


@pytest.fixture(scope="session")
def artifact_of(shared_folder, checkpoint_of):
    """name, dtype -> the artifact compiled from that tiny model."""

    def artifact_of(name, dtype="float32"):
        output = shared_folder / f"{name}-{dtype}.tapeout"
        with locked(output):
            if not output.exists():
                levels = native_levels()[:1]  # all of them take three times as long
                compile_model(checkpoint_of(name), output, dtype=dtype, cpu_levels=levels)
        return output

    return artifact_of


@pytest.fixture(scope="session")
def nano(shared_folder):
    """The artifact of tapeout-nano."""
    output = shared_folder / "nano.tapeout"
    with locked(output):
        if not output.exists():
            compile_model(NANO, output, cpu_levels=native_levels()[:1])
    return output
