"""A GPU that is the fake driver's, and an artifact for it."""

import json

import pytest
from fake_cuda_model import build_fake_cuda, counted, fake_driver, host_code
from locked import locked
from models import tiny_config

from tapeout import compile_model
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
    folder = shared_folder / "tuned-tiny"
    with locked(folder):
        output = folder / "tiny.tapeout"
        if not output.exists():
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(json.dumps(tiny_config("llama").to_dict()))
            options = {"load_format": "dummy", "dtype": "bfloat16"}
            compile_model(folder, output, "cuda:sm_90", **options)
    return output
