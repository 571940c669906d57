"""Fixtures: a model that runs on the fake driver, and with `-m gpu` on a real one."""

import shutil

import pytest
from fake_cuda_model import build_fake_cuda, counted, fake_driver, host_code, machine_code

from tapeout.runtime.cuda import device


@pytest.fixture(scope="session")
def fake_cuda(tmp_path_factory):
    """The artifact whose kernels the fake driver runs, and that driver."""
    folder = tmp_path_factory.mktemp("fake_cuda")
    return build_fake_cuda(folder / "fake.tapeout", host_code(folder)), fake_driver(folder)


@pytest.fixture(scope="session")
def real_cuda(tmp_path_factory):
    """The artifact for a GPU of Hopper's kind."""
    if shutil.which("nvcc") is None:
        pytest.skip("CUDA's compiler is not on the PATH")
    folder = tmp_path_factory.mktemp("real_cuda")
    return build_fake_cuda(folder / "real.tapeout", machine_code(folder))


@pytest.fixture
def driver(fake_cuda, monkeypatch):
    """The fake driver, in the place of the real one; nothing taken from it may be left over."""
    monkeypatch.setattr(device, "LIBCUDA", fake_cuda[1]._name)
    yield fake_cuda[1]
    assert counted(fake_cuda[1], "live") == 0


@pytest.fixture(params=["late", "early", pytest.param("real", marks=pytest.mark.gpu)])
def model(request, monkeypatch):
    """The folder of an artifact that can be run here, by the fake driver or a real one."""
    if request.param == "real":
        yield request.getfixturevalue("real_cuda")
        return
    folder, driver = request.getfixturevalue("fake_cuda")
    monkeypatch.setattr(device, "LIBCUDA", driver._name)
    monkeypatch.setenv("FAKE_CUDA_AHEAD", request.param)
    yield folder
    assert counted(driver, "live") == 0
