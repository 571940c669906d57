"""Settings of every test run: passes are checked, nothing is downloaded, threads are few."""

import os

os.environ.setdefault("TAPEOUT_CHECK_PASSES", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
from cpu import native_levels
from fake_model import build_fake
from hypothesis import settings as hypothesis_settings
from locked import locked

NANO = Path(__file__).parents[1] / "examples" / "nano" / "checkpoint"

hypothesis_settings.register_profile("tapeout", deadline=None, derandomize=True)
hypothesis_settings.load_profile("tapeout")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(autouse=True)
def _own_cache(shared_folder, monkeypatch):
    """What builds leave behind goes to this run's folder, not to the user's."""
    monkeypatch.setenv("TAPEOUT_CACHE", str(shared_folder / "cache"))


@pytest.fixture(scope="session")
def nano(shared_folder):
    """The artifact of tapeout-nano."""
    from tapeout import compile_model  # few tests need the compiler

    output = shared_folder / "nano.tapeout"
    with locked(output):
        if not output.exists():
            compile_model(NANO, output, cpu_levels=native_levels()[:1])
    return output


@pytest.fixture(scope="session")
def fake(tmp_path_factory):
    """The folder of the fake model's artifact."""
    return build_fake(tmp_path_factory.mktemp("fake") / "fake.tapeout")
