"""A GPU that is the fake driver's, and an artifact for it."""

import pytest
from fake_cuda_model import build_fake_cuda, counted, fake_driver, host_code
from models import tiny_config
from tuned_models import gpu_artifact

from tapeout.runtime.cuda import device


@pytest.fixture(scope="session")
def fake_cuda(tmp_path_factory):
    """The artifact whose kernels the fake driver runs, and that driver."""
    folder = tmp_path_factory.mktemp("fake_cuda")
    return build_fake_cuda(folder / "fake.tapeout", host_code(folder)), fake_driver(folder)


@pytest.fixture
def driver(fake_cuda, monkeypatch):
    """The fake driver, in the place of the real one; nothing taken from it may be left over."""
    monkeypatch.setattr(device, "LIBCUDA", fake_cuda[1]._name)
    yield fake_cuda[1]
    assert counted(fake_cuda[1], "live") == 0


@pytest.fixture(scope="session")
def tiny_gpu_artifact(shared_folder):
    """A tiny model compiled for a GPU; the fake driver's runs none of its machine code."""
    return gpu_artifact(shared_folder / "tuned-tiny", tiny_config("llama"))
