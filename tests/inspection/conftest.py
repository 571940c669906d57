import pytest
from browser import chromium
from gpu_builds import GPU_TARGET
from locked import locked
from models import save_tiny
from opened_page import write_report

from tapeout import settings


@pytest.fixture(scope="session")
def eighty_layers(shared_folder):
    """The artifact of a model of 80 layers for a GPU, with kernels of a tiny one."""
    pytest.importorskip("triton")
    from tapeout import compile_model

    output = shared_folder / "eighty-layers.tapeout"
    with locked(output):
        if not output.exists():
            folder = save_tiny("llama", shared_folder / "eighty-layers", num_hidden_layers=80)
            with settings.CHECK_PASSES.override("0"):
                compile_model(folder, output, target=GPU_TARGET, dtype="bfloat16")
    return output


@pytest.fixture(scope="module")  # while it is open, its event loop runs in this thread
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def report(eighty_layers, tmp_path_factory):
    """The page of the model of 80 layers."""
    return write_report(eighty_layers, tmp_path_factory.mktemp("report") / "report.html")
