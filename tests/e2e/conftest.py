"""Checkpoints and artifacts of the tiny models, built once and shared by all workers."""

import pytest
from cpu import native_levels
from gpu_builds import GpuBuilds
from locked import locked
from models import save_tiny

from tapeout import compile_model


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


def _names_for(request, fixture):
    """The models of all tests of this run that want a fixture."""
    items = [item for item in request.session.items if fixture in item.fixturenames]
    return sorted({item.callspec.params["name"] for item in items})


@pytest.fixture(scope="session")
def gpu_artifact_of(request, shared_folder, checkpoint_of):
    """name -> the artifact of that tiny model for a GPU."""
    names = _names_for(request, "gpu_artifact_of")
    return GpuBuilds(shared_folder, checkpoint_of, names, batch_invariant=False)


@pytest.fixture(scope="session")
def invariant_artifact_of(request, shared_folder, checkpoint_of):
    """name -> the same, batch-invariant."""
    names = _names_for(request, "invariant_artifact_of")
    return GpuBuilds(shared_folder, checkpoint_of, names, batch_invariant=True)
